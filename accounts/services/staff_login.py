"""Log-in of the support staff, first half: the password, under the limits of every log-in."""

from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet

from accounts import metrics
from accounts.models import Session, User
from accounts.passwords import verify_password
from accounts.services.login import InvalidCredentials, refuse_if_blocked
from accounts.services.sessions import Device, open_session, revoke_sessions
from saas.kit import attempts
from saas.kit.security_log import note
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID

STAFF_SESSION_LASTS = timedelta(hours=12)


def check_staff_password(*, email: str, password: str) -> UUID:
    """The staff member's id. Raises InvalidCredentials or TooManyAttempts. Hashing stays outside of transactions."""
    # Not the key of customers' log-ins, with which anybody could block a staff member.
    key = f"staff:{email.lower()}"
    refuse_if_blocked(attempts.before_attempt(key))
    with org_context(SUPPORT_ORGANIZATION_ID):
        user = _active_staff().filter(email_key=email.lower()).first()
    if not verify_password(password, user.password if user else None) or user is None:
        metrics.LOGINS.labels("failed").inc()
        note("log_in_failed", factor="password", subject=user and user.id)
        refuse_if_blocked(attempts.record_failure(key))
        raise InvalidCredentials
    refuse_if_blocked(attempts.record_success(key))
    note("staff_password_accepted", subject=user.id)
    return user.id


def open_staff_session(*, user_id: UUID, device: Device) -> Session:
    """Once the second factor was given too. Raises InvalidCredentials for who was deactivated meanwhile."""
    with org_context(SUPPORT_ORGANIZATION_ID):
        user = _active_staff().select_for_update().filter(id=user_id).first()
        if user is None:
            raise InvalidCredentials
        session = open_session(user=user, device=device, lifetime=STAFF_SESSION_LASTS)
    metrics.LOGINS.labels("succeeded").inc()
    return session


def end_staff_session(*, session_id: UUID) -> None:
    with org_context(SUPPORT_ORGANIZATION_ID):
        revoke_sessions(Session.objects.filter(id=session_id), reason="logged_out")


def _active_staff() -> QuerySet[User]:
    return User.objects.filter(is_staff=True, deactivated_at=None)
