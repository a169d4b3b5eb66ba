"""The two cookies of the admin: the session, and who has given a password and not yet the second factor."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.services.staff_login import STAFF_SESSION_LASTS

ADMIN_PATH = "/admin"


@dataclass(frozen=True, slots=True)
class SignedCookie:
    """Carries an id, signed; what it may do is asked of PostgreSQL."""

    kind: str
    lasts: timedelta

    @property
    def name(self) -> str:
        return f"__Host-{self.kind}" if settings.SESSION_COOKIE_SECURE else self.kind

    @property
    def path(self) -> str:
        # The prefix, which keeps subdomains from setting the cookie, asks for no narrower path.
        return "/" if settings.SESSION_COOKIE_SECURE else ADMIN_PATH

    def read(self, request: HttpRequest) -> str | None:
        seconds = int(self.lasts.total_seconds())
        return request.get_signed_cookie(
            self.name, default=None, salt=f"support.{self.kind}", max_age=seconds
        )

    def write(self, response: HttpResponse, value: str) -> None:
        response.set_signed_cookie(
            self.name,
            value,
            salt=f"support.{self.kind}",
            max_age=int(self.lasts.total_seconds()),
            path=self.path,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )

    def remove(self, response: HttpResponse) -> None:
        response.set_cookie(
            self.name,
            max_age=0,
            path=self.path,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )


SESSION = SignedCookie("support_session", STAFF_SESSION_LASTS)
HALF_WAY = SignedCookie("support_half_way", timedelta(minutes=10))
