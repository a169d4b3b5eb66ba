"""Links in mails: signed, naming their organization, for one person and one purpose.

A link is made while its mail is written and stored nowhere, so no row and no job holds one. It dies with what
it was made of: an address that is another now, a password that was set. Keep in mind that mail scanners open links:
a page's GET shows a button, and only its POST acts.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from saas.kit import clock
from saas.kit.errors import FieldError, ValidationFailed

Purpose = Literal["verify-email", "reset-password", "invitation", "look"]
LIFETIMES: dict[Purpose, timedelta] = {
    "verify-email": timedelta(days=3),
    "reset-password": timedelta(hours=1),
    # Its row says when it runs out, earlier than this.
    "invitation": timedelta(days=365),
    # No mail has it: a staff member's browser follows it at once.
    "look": timedelta(minutes=2),
}


class InvalidLink(ValidationFailed):
    """The link is forged or for another purpose, it ran out, or it was used."""

    words = _("This link is not valid any more. Ask for a new one.")

    def __init__(self) -> None:
        super().__init__([FieldError(("token",), "invalid_link", str(self.words))])


@dataclass(frozen=True, slots=True)
class Link:
    organization_id: UUID
    subject_id: UUID
    state: str

    def is_made_of(self, state: str) -> bool:
        return constant_time_compare(self.state, fingerprint(state))


def make_link(purpose: Purpose, *, organization_id: UUID, subject_id: UUID, state: str = "") -> str:
    """The URL of the page that takes the link's token; `state` is what must still be true when it is used."""
    expires_at = int((clock.now() + LIFETIMES[purpose]).timestamp())
    token = _signer(purpose).sign_object(
        [organization_id.hex, subject_id.hex, expires_at, fingerprint(state)]
    )
    return f"{settings.PUBLIC_URL}/{purpose}?token={token}"


def read_link(purpose: Purpose, token: str) -> Link:
    """Raises InvalidLink if it was not made by make_link for this purpose, or has run out."""
    try:
        organization_id, subject_id, expires_at, state = _signer(purpose).unsign_object(token)
    except BadSignature as error:
        raise InvalidLink from error
    if clock.now().timestamp() >= expires_at:
        raise InvalidLink
    return Link(UUID(organization_id), UUID(subject_id), state)


def make_registration_link(sealed: str) -> str:
    """The same for who has no account yet: the link brings what they asked for, which nobody else can read."""
    expires_at = int((clock.now() + LIFETIMES["verify-email"]).timestamp())
    return f"{settings.PUBLIC_URL}/verify-email?token={_signer('registration').sign_object([sealed, expires_at])}"


def read_registration(token: str) -> str | None:
    """What make_registration_link was given; None for any other link. Raises InvalidLink if it has run out."""
    try:
        sealed, expires_at = _signer("registration").unsign_object(token)
    except BadSignature:
        return None
    if clock.now().timestamp() >= expires_at:
        raise InvalidLink
    return str(sealed)


def state_of(user: User, address: str) -> str:
    """What a link to `address` is made of: any new password voids it, whoever set that."""
    return f"{address}:{user.password}"


def fingerprint(state: str) -> str:
    return salted_hmac("accounts.links.state", state, algorithm="sha256").hexdigest()[:32]


def _signer(purpose: str) -> Signer:
    return Signer(salt=f"accounts.links.{purpose}")
