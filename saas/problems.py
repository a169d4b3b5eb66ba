"""Every error's answer: `application/problem+json` (RFC 9457) with `code` and `request_id`, or a page for a page."""

import json
import logging
import re
import sys
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core import exceptions as django
from django.db import InterfaceError, OperationalError, connections
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.metadata import BaseMetadata

from accounts.tokens import InvalidToken
from saas.error_pages import error_page
from saas.kit.errors import (
    DomainError,
    MalformedRequest,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
    ValidationFailed,
    problem_type,
)
from saas.kit.redis import RedisUnavailable
from saas.kit.serializers import field_errors
from support.pages import staff_error_page
from tenancy.staff import SUPPORT_ALIAS

logger = logging.getLogger(__name__)

# Opened by browsers alone, which make nothing of JSON.
ADMIN = re.compile(r"/admin(?:/.*)?", re.DOTALL)

CONTENT_TYPE = "application/problem+json"


class Forbidden(DomainError):
    code = "permission_denied"
    status = 403
    title = "Forbidden"
    detail = "You may not do this."
    words = _("Your role does not allow this. An owner or admin of your organization can help.")


class ForgedRequest(Forbidden):
    code = "csrf_failed"
    detail = "The form's token does not fit the browser's cookie."
    words = _(
        "This form was open for too long, or the browser keeps no cookies. Open it again and send it once more."
    )


class MethodNotAllowed(DomainError):
    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"
    detail = "This method does not work here; see the Allow header."
    words = _("This address only takes what a form sends. Go back to the page that you came from.")


class NotAcceptable(DomainError):
    code = "not_acceptable"
    status = 406
    title = "Not acceptable"
    detail = "None of the media types in the Accept header can be answered."


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"
    detail = "The body's Content-Type is not accepted here; send application/json."


class AllowedMethods(BaseMetadata):
    """The answer to OPTIONS; what a route takes is in the OpenAPI document."""

    def determine_metadata(self, request: Any, view: Any) -> dict[str, list[str]]:
        return {"methods": view.allowed_methods}


def problem_response(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Render an error, and take back what an open transaction has written: an error leaves nothing behind."""
    roll_back()
    request.refusal = error.code  # type: ignore[attr-defined]
    if getattr(request, "is_page", False):
        return error_page(request, error)
    if ADMIN.fullmatch(request.path_info) and SUPPORT_ALIAS in settings.DATABASES:
        return staff_error_page(request, error)
    body = {
        "type": problem_type(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": escape_uri_path(request.path),
        "code": error.code,
        "request_id": getattr(request, "request_id", None) or uuid.uuid4().hex,
        **error.extra,
    }
    response = HttpResponse(
        json.dumps(body), status=error.status, content_type=CONTENT_TYPE, headers=error.headers
    )
    if error.status == 401:
        response.headers.setdefault("WWW-Authenticate", _challenge(error))
    return response


def _challenge(error: DomainError) -> str:
    # RFC 6750, 3.1: an error code only if a token was presented.
    return 'Bearer error="invalid_token"' if error.code == "invalid_token" else "Bearer"


def roll_back() -> None:
    """Mark open transactions for rollback; DRF does so under ATOMIC_REQUESTS alone."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            connection.set_rollback(True)


def problem_exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER. None lets Django log the exception and answer with `internal_error`."""
    error = as_domain_error(exc)
    if error is None:
        roll_back()
        return None
    return problem_response(context["request"]._request, error)


def as_domain_error(exc: BaseException | None) -> DomainError | None:
    """What an exception means to a client; None if it is a fault of ours."""
    if isinstance(exc, DomainError):
        return exc
    for kinds, translate in TRANSLATIONS:
        if isinstance(exc, kinds):
            return translate(exc)
    return None


def _validation(exc: Any) -> DomainError:
    return ValidationFailed(field_errors(exc.detail))


def _forbidden(exc: Any) -> DomainError:
    # A permission class of ours gives its own code and sentence.
    error = Forbidden(str(exc.detail) if exc.detail.code != exc.default_code else None)
    error.code = exc.detail.code
    return error


def _unavailable(exc: Any) -> DomainError:
    logger.error("Unavailable: %s", type(exc).__name__, exc_info=exc)
    return Unavailable()


# The first kind that fits counts, so a subclass stands before its base.
TRANSLATIONS: list[tuple[Any, Callable[[Any], DomainError]]] = [
    (drf.ValidationError, _validation),
    (drf.ParseError, lambda exc: MalformedRequest()),
    (drf.NotAuthenticated, lambda exc: NotAuthenticated()),
    (drf.AuthenticationFailed, lambda exc: InvalidToken()),
    (drf.PermissionDenied, _forbidden),
    (django.PermissionDenied, lambda exc: Forbidden()),
    ((drf.NotFound, Http404), lambda exc: NotFound()),
    (drf.MethodNotAllowed, lambda exc: MethodNotAllowed()),
    (drf.NotAcceptable, lambda exc: NotAcceptable()),
    (drf.UnsupportedMediaType, lambda exc: UnsupportedMediaType()),
    (drf.Throttled, lambda exc: RateLimited(exc.wait or 1)),
    (django.RequestDataTooBig, lambda exc: PayloadTooLarge()),
    ((django.SuspiciousOperation, django.BadRequest, UnreadablePostError), lambda exc: MalformedRequest()),
    ((OperationalError, InterfaceError, RedisUnavailable), _unavailable),
]


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem_response(request, as_domain_error(exception) or MalformedRequest())


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem_response(request, Forbidden())


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW. Django has logged the reason."""
    return problem_response(request, ForgedRequest())


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem_response(request, NotFound())


def internal_error(request: HttpRequest) -> HttpResponse:
    """Also for what a middleware raised. Django has logged it with its traceback."""
    return problem_response(request, as_domain_error(sys.exc_info()[1]) or DomainError())
