"""Time-based one-time passwords (RFC 6238) and recovery codes; each counts once."""

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pyotp
from django.utils.crypto import salted_hmac

from accounts.models import Session, User
from accounts.services.login import refuse_if_blocked
from accounts.services.sessions import revoke_sessions
from saas.kit import attempts, clock
from saas.kit.errors import DomainError, NotFound
from saas.kit.sealing import seal, unseal
from saas.kit.security_log import note, note_after_commit
from support.models import SecondFactor
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID

SEALED_FOR = "support.second-factor"
STEP_SECONDS = 30
# Clocks of phones go wrong by a step.
STEPS_APART = (-1, 0, 1)
RECOVERY_CODES = 10
RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
RECOVERY_LENGTH = 28


class WrongCode(DomainError):
    code = "wrong_code"
    status = 401
    title = "Wrong code"
    detail = "The code is wrong, or was used before."


def unconfirmed_secret(user_id: UUID) -> str | None:
    """The secret to enrol with, the same from one password to the next; None once there is a second factor."""
    with org_context(SUPPORT_ORGANIZATION_ID):
        factor, _ = SecondFactor.objects.get_or_create(user_id=user_id, defaults={"secret": _new_secret()})
    return None if factor.confirmed_at else unseal(SEALED_FOR, factor.secret).decode()


def half_way(user_id: UUID) -> str:
    """What a browser holds between password and code. Whatever changes meanwhile voids it, another's password too.

    Until a second factor is confirmed, each password earns a secret of its own: who saw the last one knows nothing.
    """
    unconfirmed_secret(user_id)
    with org_context(SUPPORT_ORGANIZATION_ID):
        SecondFactor.objects.filter(user_id=user_id, confirmed_at=None).update(secret=_new_secret())
    return f"{user_id}:{_state(user_id)}"


def _new_secret() -> str:
    return seal(SEALED_FOR, pyotp.random_base32().encode())


def who_is_half_way(held: str) -> UUID | None:
    """The staff member's id, if what `half_way` gave still holds."""
    user_id, _, state = held.partition(":")
    if not user_id or not _is_same(state, _state(UUID(user_id))):
        return None
    return UUID(user_id)


def _state(user_id: UUID) -> str:
    with org_context(SUPPORT_ORGANIZATION_ID):
        user = User.objects.filter(id=user_id, is_staff=True, deactivated_at=None).first()
        factor = SecondFactor.objects.filter(user_id=user_id).first()
    made_of = f"{user and user.password}:{factor and (factor.id, factor.secret, factor.confirmed_at)}"
    return salted_hmac("support.half-way", made_of, algorithm="sha256").hexdigest()


def confirm_second_factor(*, user_id: UUID, code: str) -> list[str]:
    """Take the first code of a new second factor; returns the recovery codes, which nobody sees again.

    Raises WrongCode or TooManyAttempts.
    """
    codes = [_random_code() for _ in range(RECOVERY_CODES)]
    with org_context(SUPPORT_ORGANIZATION_ID), _counted(user_id):
        factor = _lock(user_id)
        if factor.confirmed_at or not _is_next_code(factor, code):
            raise WrongCode
        factor.confirmed_at = clock.now()
        factor.recovery_codes = [_hash(each) for each in codes]
        factor.save()
        note_after_commit("second_factor_enrolled", subject=user_id)
    return ["-".join(each[at : at + 7] for at in range(0, RECOVERY_LENGTH, 7)) for each in codes]


def use_second_factor(*, user_id: UUID, code: str) -> None:
    """Take a code, or a recovery code. Raises WrongCode or TooManyAttempts."""
    with org_context(SUPPORT_ORGANIZATION_ID), _counted(user_id):
        factor = _lock(user_id)
        if not factor.confirmed_at or not (_is_next_code(factor, code) or _is_recovery_code(factor, code)):
            raise WrongCode
        factor.save()


def reset_second_factor(*, email: str) -> None:
    """Let a staff member enrol anew, and end their sessions. Raises NotFound."""
    with org_context(SUPPORT_ORGANIZATION_ID):
        user = User.objects.filter(email_key=email.lower(), is_staff=True).first()
        if user is None:
            raise NotFound
        SecondFactor.objects.filter(user=user).delete()
        note_after_commit("second_factor_reset", subject=user.id)
        revoke_sessions(Session.objects.filter(user=user), reason="second_factor_reset")


@contextmanager
def _counted(user_id: UUID) -> Iterator[None]:
    """Wrong codes earn the same blocks as wrong passwords. Inside the transaction: a refusal keeps nothing of it."""
    key = f"second-factor:{user_id}"
    refuse_if_blocked(attempts.before_attempt(key))
    try:
        yield
    except WrongCode:
        note("log_in_failed", factor="second_factor", subject=user_id)
        refuse_if_blocked(attempts.record_failure(key))
        raise
    refuse_if_blocked(attempts.record_success(key))


def _lock(user_id: UUID) -> SecondFactor:
    """Locked, or one code could be used twice at once."""
    factor = SecondFactor.objects.select_for_update().filter(user_id=user_id).first()
    if factor is None:
        raise WrongCode
    return factor


def _is_next_code(factor: SecondFactor, code: str) -> bool:
    totp = pyotp.TOTP(unseal(SEALED_FOR, factor.secret).decode(), interval=STEP_SECONDS)
    now = int(clock.now().timestamp()) // STEP_SECONDS
    for step in (now + apart for apart in STEPS_APART):
        if step > factor.last_step and _is_same(totp.generate_otp(step), code.replace(" ", "")):
            factor.last_step = step
            return True
    return False


def _is_recovery_code(factor: SecondFactor, code: str) -> bool:
    given = _hash(code.replace("-", "").replace(" ", "").lower())
    for known in factor.recovery_codes:
        if _is_same(known, given):
            factor.recovery_codes.remove(known)
            return True
    return False


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _random_code() -> str:
    """138 bits, so that a fast hash keeps it."""
    return "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_LENGTH))


def _hash(code: str) -> str:
    return salted_hmac("support.recovery-code", code, algorithm="sha256").hexdigest()
