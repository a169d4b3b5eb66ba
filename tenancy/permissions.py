"""Who may use a route, by their role in the organization in force."""

from typing import Any, Protocol, cast
from uuid import UUID

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from saas.kit.errors import DomainError
from tenancy.models import ADMINS, Role


class Caller(Protocol):
    """What every app may know of the verified caller; accounts' own class has more."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def organization_id(self) -> UUID: ...
    @property
    def session_id(self) -> UUID: ...
    @property
    def role(self) -> str: ...


def caller_of(request: Request) -> Caller:
    """Who asks, where a permission has made sure that somebody is known."""
    return cast(Caller, request.user)


class IsAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None


class AdminsOnly(DomainError):
    code = "insufficient_role"
    status = 403
    title = "Role too low"
    detail = "Your role does not allow this; an owner or admin can do it."
    words = _("Your role does not allow this. An owner or admin of your organization can do it.")


def only_admins(caller: Caller | None) -> Caller:
    """For pages, what IsAdmin is for the API. Raises AdminsOnly."""
    if caller is None or caller.role not in ADMINS:
        raise AdminsOnly
    return caller


class OwnersOnly(DomainError):
    code = "insufficient_role"
    status = 403
    title = "Role too low"
    detail = "Your role does not allow this; an owner can do it."
    words = _("Your role does not allow this. An owner of your organization can do it.")


def only_owners(caller: Caller | None) -> Caller:
    """Raises OwnersOnly."""
    if caller is None or caller.role != Role.OWNER:
        raise OwnersOnly
    return caller


class IsAdmin(BasePermission):
    """Owners and admins."""

    code = AdminsOnly.code
    message = AdminsOnly.detail

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None and caller_of(request).role in ADMINS
