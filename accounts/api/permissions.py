from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenancy.models import Role


class IsAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None


class IsAdmin(BasePermission):
    """Owners and admins."""

    code = "insufficient_role"
    message = "Your role does not allow this; an owner or admin can do it."

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None and request.user.role in (Role.OWNER, Role.ADMIN)
