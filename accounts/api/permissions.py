from typing import Any, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.callers import Caller
from tenancy.models import Role


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
