"""People of an organization: what they say of themselves, and what its owners and admins decide."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Session, User
from accounts.selectors import seats_taken
from accounts.services.addresses import start_email_change
from accounts.services.sessions import forget_facts_after_commit, revoke_sessions
from accounts.tokens import InvalidToken
from saas.kit import clock
from saas.kit.errors import DomainError, NotFound
from tenancy.context import current_organization_id
from tenancy.models import Organization, Role


class LastOwner(DomainError):
    code = "last_owner"
    status = 409
    title = "Last owner"
    detail = "An organization needs at least one active owner. Make somebody else an owner first."
    words = _("An organization needs at least one active owner. Make somebody else an owner first.")


class RoleTooLow(DomainError):
    code = "insufficient_role"
    status = 403
    title = "Role too low"
    detail = "Your role does not allow this. Only owners may change owners or make them."
    words = _("Your role does not allow this. Only owners may change owners or make them.")


class SeatLimitReached(DomainError):
    code = "limit_exceeded"
    status = 402
    title = "No seat left"
    detail = "Members and open invitations take all seats of the plan. Remove one, or choose a larger plan."
    words = _("Members and open invitations take all seats of the plan. Remove one, or choose a larger plan.")


class UnfitSuccessor(DomainError):
    code = "unfit_successor"
    status = 409
    title = "Unfit successor"
    detail = "Ownership goes to another person, who is active."
    words = _("Ownership goes to another person, who is active.")


@transaction.atomic
def update_profile(*, user_id: UUID, session_id: UUID, changes: dict[str, Any]) -> User:
    """A new `email` counts once the link that is mailed there is used. Raises RateLimited, or InvalidToken if the
    person was removed meanwhile, or their session ended."""
    email = changes.get("email")
    changes = {name: value for name, value in changes.items() if name != "email"}
    user = (
        User.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organization")
        .filter(id=user_id)
        .first()
    )
    # Under the row's lock: a new password may have ended the session since the request began.
    if user is None or not Session.objects.filter(id=session_id, revoked_at=None).exists():
        raise InvalidToken
    for name, value in changes.items():
        setattr(user, name, value)
    user.save(update_fields=[*changes, "updated_at"])
    forget_facts_after_commit([user.id])
    if email is not None:
        start_email_change(user, email=email)
    return user


@transaction.atomic
def change_member(*, user_id: UUID, by: UUID, role: str | None = None, is_active: bool | None = None) -> User:
    """Change a member's role, or deactivate and reactivate them.

    Raises NotFound, RoleTooLow, LastOwner or SeatLimitReached.
    """
    organization = lock_organization()
    member = _lock_member(user_id)
    refuse_low_role(by, member.role, role)
    if role is not None and role != member.role:
        if member.role == Role.OWNER:
            _refuse_last_owner(member)
        member.role = role
        forget_facts_after_commit([member.id])
    if is_active is not None and is_active != member.is_active:
        _set_active(organization, member, is_active)
    member.save(update_fields=["role", "updated_at"])
    return member


@transaction.atomic
def set_member_active(*, user_id: UUID, is_active: bool) -> None:
    """Deactivate or reactivate somebody on the support's behalf. Raises NotFound, LastOwner or SeatLimitReached."""
    organization = lock_organization()
    member = _lock_member(user_id)
    if is_active != member.is_active:
        _set_active(organization, member, is_active)


@transaction.atomic
def remove_member(*, user_id: UUID, by: UUID) -> None:
    """Delete a member and end their sessions. Raises NotFound, RoleTooLow or LastOwner."""
    lock_organization()
    member = _lock_member(user_id)
    refuse_low_role(by, member.role)
    if member.role == Role.OWNER:
        _refuse_last_owner(member)
    revoke_sessions(Session.objects.filter(user=member), reason="removed")
    member.delete()


@transaction.atomic
def hand_over_ownership(*, to: UUID, by: UUID) -> User:
    """Make another member an owner, and oneself an admin. Raises NotFound, RoleTooLow or UnfitSuccessor."""
    lock_organization()
    successor = _lock_member(to)
    refuse_low_role(by, Role.OWNER)
    if successor.id == by or not successor.is_active:
        raise UnfitSuccessor
    successor.role = Role.OWNER
    successor.save(update_fields=["role", "updated_at"])
    User.objects.filter(id=by).update(role=Role.ADMIN, updated_at=clock.now())
    forget_facts_after_commit([successor.id, by])
    return successor


@transaction.atomic
def set_support_allowed(*, is_allowed: bool, by: UUID) -> None:
    """Off, it closes what support staff have open, at once and for good: PostgreSQL asks on each of their reads.

    Raises RoleTooLow.
    """
    lock_organization()
    refuse_low_role(by, Role.OWNER)
    Organization.objects.update(support_allowed=is_allowed)
    if not is_allowed:
        Organization.objects.update(support_closed_at=clock.now())
        revoke_sessions(Session.objects.filter(looking_staff_id__isnull=False), reason="support_switched_off")


def _set_active(organization: Organization, member: User, is_active: bool) -> None:
    if is_active:
        refuse_without_seat(organization, taken=seats_taken())
        member.deactivated_at = None
    else:
        if member.role == Role.OWNER:
            _refuse_last_owner(member)
        member.deactivated_at, member.pending_email = clock.now(), ""
        revoke_sessions(Session.objects.filter(user=member), reason="deactivated")
    member.save(update_fields=["deactivated_at", "pending_email", "updated_at"])


def lock_organization() -> Organization:
    """The one in force. Its row orders changes of members, or two owners could leave it at once."""
    # Not its key: a log-in that commits meanwhile only refers to the row, and must not wait for it.
    return Organization.objects.select_for_update(no_key=True).get(id=current_organization_id())


def refuse_without_seat(organization: Organization, *, taken: int) -> None:
    """Raises SeatLimitReached unless the plan has one more. The caller holds lock_organization()."""
    if organization.seat_limit is not None and taken >= organization.seat_limit:
        raise SeatLimitReached


def _lock_member(user_id: UUID) -> User:
    member = User.objects.select_for_update(no_key=True).filter(id=user_id).first()
    if member is None:
        raise NotFound
    return member


def refuse_low_role(by: UUID, *roles: str | None) -> None:
    """Raises RoleTooLow unless `by` may give and take these roles. The caller holds lock_organization()."""
    # Read under the organization's lock: the request may have begun before its caller was demoted.
    by_role = User.objects.filter(id=by, deactivated_at=None).values_list("role", flat=True).first()
    if by_role != Role.OWNER and (by_role != Role.ADMIN or Role.OWNER in roles):
        raise RoleTooLow


def _refuse_last_owner(member: User) -> None:
    others = User.objects.filter(role=Role.OWNER, deactivated_at=None).exclude(id=member.id)
    if member.is_active and not others.exists():
        raise LastOwner
