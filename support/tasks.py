"""What support staff asked for: in the organization's own context, as the app role, through its own services."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from accounts.models import Session, User
from accounts.services import members
from accounts.services.addresses import send_verification
from accounts.services.sessions import revoke_sessions
from billing.models import StripeEvent
from billing.services import inbox
from saas.kit.errors import DomainError
from tenancy import mails
from tenancy.context import org_context
from tenancy.jobs import organization_task

logger = logging.getLogger(__name__)


@contextmanager
def refusals_logged() -> Iterator[None]:
    """What the organization's rules refuse is refused for good; any other error has the queue try again."""
    try:
        yield
    except DomainError as error:
        if error.status >= 500:
            raise
        logger.warning("An action of the support was refused: %s", error)


@organization_task(name="support_deactivate_user")
def deactivate_user(*, user_id: str) -> None:
    with refusals_logged():
        members.set_member_active(user_id=UUID(user_id), is_active=False)


@organization_task(name="support_reactivate_user")
def reactivate_user(*, user_id: str) -> None:
    with refusals_logged():
        members.set_member_active(user_id=UUID(user_id), is_active=True)


@organization_task(name="support_end_sessions")
def end_sessions(*, user_id: str) -> None:
    revoke_sessions(Session.objects.filter(user_id=UUID(user_id)), reason="ended_by_support")


@organization_task(name="support_resend_verification")
def resend_verification(*, user_id: str) -> None:
    """Of the present address alone: where a new one leads is for its owner to say."""
    for user in User.objects.filter(id=UUID(user_id), deactivated_at=None):
        send_verification(user)


@organization_task(name="support_replay_event", owns_transactions=True)
def replay_event(organization_id: UUID, *, event_id: str) -> None:
    with org_context(organization_id):
        is_known = StripeEvent.objects.filter(stripe_id=event_id).exists()
    if is_known:
        inbox.replay({"stripe_id": event_id, "organization_id": organization_id})


@organization_task(name="support_resend_mail")
def resend_mail(*, mail_id: str) -> None:
    with refusals_logged():
        mails.resend_mail(mail_id=UUID(mail_id))
