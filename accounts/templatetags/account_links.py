"""The links in accounts' mails. Made while a mail is written, they are stored nowhere."""

from uuid import UUID

from django import template

from accounts.links import make_link, reset_state
from accounts.models import User
from tenancy.context import current_organization_id

register = template.Library()


@register.simple_tag
def verification_link(user: User, address: str) -> str:
    """Confirms that the person reads mail to this address: the present one, or the one it is to become."""
    return make_link(
        "verify-email", organization_id=current_organization_id(), subject_id=user.id, state=address
    )


@register.simple_tag
def reset_link(user: User) -> str:
    return make_link(
        "reset-password",
        organization_id=current_organization_id(),
        subject_id=user.id,
        state=reset_state(user),
    )


@register.simple_tag
def invitation_link(invitation_id: str) -> str:
    return make_link("invitation", organization_id=current_organization_id(), subject_id=UUID(invitation_id))
