"""The links in accounts' mails. Made while a mail is written, they are stored nowhere."""

from uuid import UUID

from django import template

from accounts.links import Purpose, make_link, make_registration_link, state_of
from accounts.models import User
from tenancy.context import current_organization_id

register = template.Library()


@register.simple_tag
def verification_link(user: User, address: str) -> str:
    """Confirms that the person reads mail to this address: the present one, or the one it is to become."""
    return _link("verify-email", user, address)


@register.simple_tag
def reset_link(user: User) -> str:
    return _link("reset-password", user, user.email)


@register.simple_tag
def registration_link(sealed: str) -> str:
    return make_registration_link(sealed)


@register.simple_tag
def invitation_link(invitation_id: str) -> str:
    return make_link("invitation", organization_id=current_organization_id(), subject_id=UUID(invitation_id))


def _link(purpose: Purpose, user: User, address: str) -> str:
    return make_link(
        purpose,
        organization_id=current_organization_id(),
        subject_id=user.id,
        state=state_of(user, address),
    )
