"""The support staff's accounts, as operations keep them."""

from django.db import transaction

from accounts.models import Session, User
from accounts.passwords import hash_password
from accounts.services.sessions import revoke_sessions
from saas.kit import clock
from saas.kit.errors import NotFound
from saas.kit.security_log import note_after_commit
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID


def deactivate_staff(*, email: str) -> None:
    """Raises NotFound. Their looks as customers end too: PostgreSQL asks for their staff member at each request."""
    with org_context(SUPPORT_ORGANIZATION_ID):
        _change(email, deactivated_at=clock.now())


def reactivate_staff(*, email: str) -> None:
    """Raises NotFound."""
    with org_context(SUPPORT_ORGANIZATION_ID):
        _change(email, deactivated_at=None)


def set_staff_password(*, email: str, password: str) -> None:
    """`password` is one that check_new_password accepts. Raises NotFound."""
    encoded = hash_password(password)
    with org_context(SUPPORT_ORGANIZATION_ID):
        _change(email, password=encoded)


@transaction.atomic
def _change(email: str, **columns: object) -> None:
    user = User.objects.select_for_update().filter(email_key=email.lower(), is_staff=True).first()
    if user is None:
        raise NotFound
    User.objects.filter(id=user.id).update(**columns, updated_at=clock.now())
    note_after_commit("staff_changed", subject=user.id, changed=", ".join(columns))
    revoke_sessions(Session.objects.filter(user=user), reason="changed_by_operations")
