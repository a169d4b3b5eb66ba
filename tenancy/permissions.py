"""Who may use a route, by their role in the organization in force."""

from typing import Any, Protocol, cast
from uuid import UUID

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenancy.models import Role


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


class IsAdmin(BasePermission):
    """Owners and admins."""

    code = "insufficient_role"
    message = "Your role does not allow this; an owner or admin can do it."

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None and caller_of(request).role in (Role.OWNER, Role.ADMIN)
