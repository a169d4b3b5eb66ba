"""Log-in: the same work and the same answer for an unknown address, a wrong password and a disabled user."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.utils.translation import gettext_lazy as _

from accounts import metrics
from accounts.models import Session, User
from accounts.passwords import hash_password, verify_password
from accounts.selectors import organization_of_email
from accounts.services.sessions import Device, open_session
from saas.kit import attempts
from saas.kit.errors import DomainError, RateLimited
from saas.kit.security_log import note
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID


class InvalidCredentials(DomainError):
    code = "invalid_credentials"
    status = 401
    title = "Invalid credentials"
    detail = "The email address or the password is wrong."
    words = _("The email address or the password is wrong.")


class TooManyAttempts(RateLimited):
    code = "too_many_attempts"
    title = "Too many failed attempts"
    detail = "The password was wrong too many times. Wait as long as Retry-After says."
    words = _("The password was wrong too many times. Wait a little, then try again.")


@dataclass(frozen=True, slots=True)
class Credential:
    """What is compared with the given password, read before the hashing and compared again after it."""

    organization_id: UUID
    user_id: UUID
    encoded: str


def log_in(*, email: str, password: str, device: Device) -> Session:
    """Open a session. Raises InvalidCredentials or TooManyAttempts. Opens its own transactions: hashing stays outside."""
    key = email.lower()
    refuse_if_blocked(attempts.before_attempt(key))
    credential = _credential(email)
    if not verify_password(password, credential.encoded if credential else None) or credential is None:
        metrics.LOGINS.labels("failed").inc()
        note("log_in_failed", factor="password", subject=credential and credential.user_id, address=device.ip)
        refuse_if_blocked(attempts.record_failure(key))
        raise InvalidCredentials
    refuse_if_blocked(attempts.record_success(key))
    session = _open(credential, password, device) or _open_with_new_hash(email, password, device)
    metrics.LOGINS.labels("succeeded").inc()
    return session


def _credential(email: str) -> Credential | None:
    # Nobody's address is looked for as well, where no customer is: a query less would tell.
    organization_id = organization_of_email(email) or SUPPORT_ORGANIZATION_ID
    with org_context(organization_id):
        user = User.objects.filter(email_key=email.lower(), deactivated_at=None, is_staff=False).first()
    return Credential(organization_id, user.id, user.password) if user else None


def _open(credential: Credential, password: str, device: Device) -> Session | None:
    """None if the hash is no longer the one that was compared. Raises InvalidCredentials for who was deactivated."""
    upgraded = hash_password(password) if _is_outdated(credential.encoded) else None
    with org_context(credential.organization_id):
        user = (
            User.objects.select_for_update(no_key=True)
            .filter(id=credential.user_id, deactivated_at=None)
            .first()
        )
        if user is None:
            raise InvalidCredentials
        if user.password != credential.encoded:
            return None
        if upgraded:
            user.password = upgraded
            user.save(update_fields=["password"])
        return open_session(user=user, device=device)


def _open_with_new_hash(email: str, password: str, device: Device) -> Session:
    """Meanwhile the password was changed, or another log-in brought its hash up to date: only the new hash tells."""
    credential = _credential(email)
    if credential is None or not verify_password(password, credential.encoded):
        raise InvalidCredentials
    session = _open(credential, password, device)
    if session is None:
        raise InvalidCredentials
    return session


def _is_outdated(encoded: str) -> bool:
    return (
        identify_hasher(encoded).must_update(encoded)
        or identify_hasher(encoded).algorithm != get_hasher().algorithm
    )


def refuse_if_blocked(seconds: float) -> None:
    if seconds > 0:
        metrics.LOGINS.labels("blocked").inc()
        note("attempts_blocked", seconds=round(seconds))
        raise TooManyAttempts(retry_after=seconds)
