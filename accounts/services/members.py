"""People of an organization: what they say of themselves, and what its owners and admins decide."""

from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Session, User
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


class RoleTooLow(DomainError):
    code = "insufficient_role"
    status = 403
    title = "Role too low"
    detail = "Your role does not allow this. Only owners may change owners or make them."


@transaction.atomic
def update_profile(*, user_id: UUID, changes: dict[str, Any]) -> User:
    """Raises InvalidToken if the person was removed meanwhile."""
    user = (
        User.objects.select_for_update(of=("self",)).select_related("organization").filter(id=user_id).first()
    )
    if user is None:
        raise InvalidToken
    for name, value in changes.items():
        setattr(user, name, value)
    user.save(update_fields=[*changes, "updated_at"])
    return user


@transaction.atomic
def change_member(*, user_id: UUID, by: UUID, role: str | None = None, is_active: bool | None = None) -> User:
    """Change a member's role, or deactivate and reactivate them. Raises NotFound, RoleTooLow or LastOwner."""
    member = _lock_member(user_id)
    _refuse_low_role(by, member.role, role)
    if role is not None and role != member.role:
        if member.role == Role.OWNER:
            _refuse_last_owner(member)
        member.role = role
        forget_facts_after_commit([member.id])
    if is_active is not None and is_active != member.is_active:
        _set_active(member, is_active)
    member.save(update_fields=["role", "deactivated_at", "updated_at"])
    return member


@transaction.atomic
def remove_member(*, user_id: UUID, by: UUID) -> None:
    """Delete a member and end their sessions. Raises NotFound, RoleTooLow or LastOwner."""
    member = _lock_member(user_id)
    _refuse_low_role(by, member.role)
    if member.role == Role.OWNER:
        _refuse_last_owner(member)
    revoke_sessions(Session.objects.filter(user=member), reason="removed")
    member.delete()


def _set_active(member: User, is_active: bool) -> None:
    if is_active:
        member.deactivated_at = None
        return
    if member.role == Role.OWNER:
        _refuse_last_owner(member)
    member.deactivated_at = clock.now()
    revoke_sessions(Session.objects.filter(user=member), reason="deactivated")


def _lock_member(user_id: UUID) -> User:
    # The organization's row orders such changes, or two owners could leave it at once.
    # Not its key: a log-in that commits meanwhile only refers to the row, and must not wait for it.
    Organization.objects.select_for_update(no_key=True).get(id=current_organization_id())
    member = User.objects.select_for_update().filter(id=user_id).first()
    if member is None:
        raise NotFound
    return member


def _refuse_low_role(by: UUID, *roles: str | None) -> None:
    # Read under the organization's lock: the request may have begun before its caller was demoted.
    by_role = User.objects.filter(id=by, deactivated_at=None).values_list("role", flat=True).first()
    if by_role != Role.OWNER and (by_role != Role.ADMIN or Role.OWNER in roles):
        raise RoleTooLow


def _refuse_last_owner(member: User) -> None:
    others = User.objects.filter(role=Role.OWNER, deactivated_at=None).exclude(id=member.id)
    if member.is_active and not others.exists():
        raise LastOwner
