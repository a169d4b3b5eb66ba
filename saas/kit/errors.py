"""Expected failures: classes with a stable `code` and a `status`, rendered as RFC 9457 says."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from django.conf import settings
from django.utils.translation import gettext_lazy as _

F = TypeVar("F", bound=Callable[..., Any])


class DomainError(Exception):
    """Subclass it where it is raised. `title` and `detail` are for the client; nothing else reaches it.

    `words` say it to a person on a page, where `detail` speaks to programs, or of things that pages don't show.
    `extra` becomes further members of the answer, so it must be fit for JSON. `retry_after` is in seconds.
    """

    retry_after: float | None = None
    code = "internal_error"
    status = 500
    title = "Internal error"
    detail = "Something went wrong on our side. The request id finds it in our logs."
    words: Any = ""

    def __init__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.headers = dict(headers or {})
        if self.retry_after is not None:
            self.headers.setdefault("Retry-After", str(max(1, math.ceil(self.retry_after))))
        self.extra = extra


def problem_type(code: str) -> str:
    """The stable URI of a kind of problem; clients compare it and need not open it."""
    return f"{settings.PUBLIC_URL}/problems/{code}"


def may_raise(*errors: type[DomainError]) -> Callable[[F], F]:
    """Says which errors of its own a view or an action answers, for the OpenAPI document."""

    def mark(view: F) -> F:
        view.may_raise = errors  # type: ignore[attr-defined]
        return view

    return mark


class MalformedRequest(DomainError):
    code = "malformed_request"
    status = 400
    title = "Malformed request"
    detail = "The request can't be read."
    words = _("What was sent can't be read. Go back, and try once more.")


class NotAuthenticated(DomainError):
    code = "not_authenticated"
    status = 401
    title = "Not authenticated"
    detail = "This needs an access token in the Authorization header: Bearer <token>."
    words = _("You are not logged in.")


class NotFound(DomainError):
    code = "not_found"
    status = 404
    title = "Not found"
    detail = "There is nothing here, or nothing that you may see."
    words = _("There is nothing here, or nothing that you may see. It may have moved or been removed.")


class PayloadTooLarge(DomainError):
    code = "payload_too_large"
    status = 413
    title = "Payload too large"
    detail = "The request's body is larger than this accepts."
    words = _("What was sent is larger than this accepts.")


class RateLimited(DomainError):
    """Headers that are given, such as RateLimit, are sent too."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"
    detail = "There were too many requests. Wait as long as Retry-After says."
    words = _("There were too many requests from here. Wait a minute, then try again.")

    def __init__(self, retry_after: float, *, headers: Mapping[str, str] | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(headers=headers)


class Unavailable(DomainError):
    """Something that we depend on is down; the same request may work a little later."""

    code = "unavailable"
    status = 503
    title = "Temporarily unavailable"
    detail = "A service that this needs does not answer. Try again soon."
    words = _("Something that this page needs does not answer just now. Try again in a moment.")
    retry_after = 5


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with a field of the body, at names and list indexes, or with a query parameter."""

    path: tuple[str, ...]
    code: str
    detail: str
    in_query: bool = False

    def as_json(self) -> dict[str, str]:
        is_parameter = self.in_query and self.path
        place = {"parameter": self.path[0]} if is_parameter else {"pointer": pointer(self.path)}
        return {**place, "code": self.code, "detail": self.detail}


class ValidationFailed(DomainError):
    code = "validation_failed"
    status = 422
    title = "Validation failed"
    detail = "The request is well-formed, but something in it is not acceptable; see `errors`."
    words = _("Something here is not acceptable.")

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__(errors=[error.as_json() for error in errors])

    @classmethod
    def of_field(cls, *path: str, code: str, detail: str) -> "ValidationFailed":
        return cls([FieldError(path, code, detail)])


def pointer(path: Iterable[str]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901, section 6)."""
    tokens = (quote(token.replace("~", "~0").replace("/", "~1"), safe="~$&'()*+,;=:@!") for token in path)
    return "#" + "".join(f"/{token}" for token in tokens)
