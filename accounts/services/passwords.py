"""Setting a password anew: with the link from a mail, or with the present one."""

from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.links import InvalidLink, read_link, state_of
from accounts.models import Session, User
from accounts.passwords import check_new_password, hash_password, verify_password
from accounts.services.login import refuse_if_blocked
from accounts.services.sessions import revoke_sessions
from accounts.tokens import InvalidToken, SessionClaims
from saas.kit import attempts, clock
from saas.kit.errors import FieldError, ValidationFailed
from saas.kit.security_log import note, note_after_commit
from tenancy.context import org_context
from tenancy.mails import queue_mail


class WrongPassword(ValidationFailed):
    def __init__(self) -> None:
        super().__init__(
            [FieldError(("current_password",), "wrong_password", _("This is not your present password."))]
        )


def reset_password(*, token: str, password: str) -> None:
    """Set a new password with a link from a mail; every session ends. Opens its own transactions: hashing stays outside.

    Raises InvalidLink or ValidationFailed. Whoever uses the link reads the address's mail, so it is verified too.
    """
    link = read_link("reset-password", token)
    with org_context(link.organization_id):
        user = _user(link.subject_id)
    if user is None or not link.is_made_of(state_of(user, user.email)):
        raise InvalidLink
    encoded = _hash_new_password(user, password, field="password")
    with org_context(link.organization_id):
        user = _user(link.subject_id, lock=True)
        if user is None or not link.is_made_of(state_of(user, user.email)):
            raise InvalidLink
        user.email_verified_at = user.email_verified_at or clock.now()
        _set_password(user, encoded, ended=Session.objects.filter(user=user))


def change_password(claims: SessionClaims, *, current_password: str, new_password: str) -> None:
    """Set a new password; the user's other sessions end. Opens its own transactions: hashing stays outside.

    Raises WrongPassword, TooManyAttempts after five of these, or ValidationFailed.
    """
    key = f"password of {claims.user_id}"
    refuse_if_blocked(attempts.before_attempt(key))
    with org_context(claims.org_id):
        user = _user(claims.user_id)
    if user is None:
        raise InvalidToken
    if not verify_password(current_password, user.password):
        note("password_change_failed", subject=user.id)
        refuse_if_blocked(attempts.record_failure(key))
        raise WrongPassword
    refuse_if_blocked(attempts.record_success(key))
    known, encoded = user.password, _hash_new_password(user, new_password, field="new_password")
    with org_context(claims.org_id):
        user = _user(claims.user_id, lock=True)
        if user is None:
            raise InvalidToken
        if user.password != known:  # It was changed while we hashed.
            raise WrongPassword
        _set_password(user, encoded, ended=Session.objects.filter(user=user).exclude(id=claims.sid))


def _user(user_id: UUID, *, lock: bool = False) -> User | None:
    users = User.objects.select_related("organization").filter(id=user_id, deactivated_at=None)
    return (users.select_for_update(of=("self",), no_key=True) if lock else users).first()


def _hash_new_password(user: User, password: str, *, field: str) -> str:
    check_new_password(
        password, email=user.email, name=user.name, organization_name=user.organization.name, field=field
    )
    return hash_password(password)


def _set_password(user: User, encoded: str, *, ended: QuerySet[Session]) -> None:
    # Whoever asked for another address may be whom the new password is to keep out.
    user.password, user.pending_email = encoded, ""
    user.save(update_fields=["password", "pending_email", "email_verified_at", "updated_at"])
    note_after_commit("password_changed", subject=user.id)
    revoke_sessions(ended, reason="password_changed")
    queue_mail("accounts/password_changed", user_id=user.id, address=user.email, occasion=str(uuid4()))
