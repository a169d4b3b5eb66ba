from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.callers import Caller


class VerifiedCaller(BaseAuthentication):
    """Hands on what the middleware verified; nothing is decided here."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        verified: Any = request._request
        if verified.token_error is not None:
            raise verified.token_error
        return (verified.caller, None) if verified.caller is not None else None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
