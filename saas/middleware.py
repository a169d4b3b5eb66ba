"""What every request passes before anything of an organization is touched: its id, its host, its size."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.encoding import escape_uri_path
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from saas.kit import logs
from saas.kit.errors import DomainError, MalformedRequest, PayloadTooLarge
from saas.kit.http import Request, add_headers
from saas.problems import MethodNotAllowed, as_domain_error, problem_response, roll_back

GetResponse = Callable[[Request], HttpResponseBase]

logger = logging.getLogger("saas.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
DEFAULT_HEADERS = {
    # default-src stands for neither of the next two. Sandboxed: what is no page runs nothing, whatever it is taken for.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

BODY_LIMIT = 64 * 1024
BODY_LIMITS = {"/webhooks/stripe": 1024 * 1024, "/webhooks/mail": 1024 * 1024}
CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")

# Asked by machines that know a process by its address; they answer nothing that depends on the name.
ANY_HOST = re.compile(r"/(?:health(?:/\w+)?|metrics)")


class RequestMiddleware:
    """Gives a request its id and its line in the log, and an answer the headers that it lacks."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        started_at = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        request.caller, request.refusal = None, None
        logs.current.set(request)
        response = _with_body(request, self.get_response(request))
        response.headers["X-Request-Id"] = request.request_id
        add_headers(response, DEFAULT_HEADERS)
        if isinstance(response, HttpResponse) and response.status_code not in (204, 304):
            # Or gunicorn sends it in chunks. RFC 9110 (8.6) forbids it with 204, and 0 would be wrong with 304.
            response.headers.setdefault("Content-Length", str(len(response.content)))
        _log(request, response, time.perf_counter() - started_at)
        return response

    def process_exception(self, request: Request, exception: Exception) -> HttpResponse | None:
        """For views without DRF. What is not expected goes on to Django, which logs it and answers 500."""
        roll_back()
        error = as_domain_error(exception)
        return problem_response(request, error) if error else None


@receiver(request_finished, dispatch_uid="saas.middleware.forget_request")
def forget_request(**kwargs: Any) -> None:
    """Not before: Django logs a 5xx after all middlewares, and a streamed body is made even later."""
    logs.current.set(None)


def _with_body(request: Request, response: HttpResponseBase) -> HttpResponseBase:
    # Django answers a wrong method with an empty body and gives no handler to change that.
    if response.status_code != 405 or getattr(response, "content", None):
        return response
    return problem_response(request, MethodNotAllowed(headers={"Allow": response.headers.get("Allow", "")}))


def _log(request: Request, response: HttpResponseBase, seconds: float) -> None:
    # Escaped, so that a path with a line break in it is still one line.
    path = escape_uri_path(request.path)
    milliseconds = round(seconds * 1000, 1)
    logger.info(
        "%s %s %s %s ms",
        request.method,
        path,
        response.status_code,
        milliseconds,
        extra={
            "method": request.method,
            "path": path,
            "status": response.status_code,
            "duration_ms": milliseconds,
            **({"code": request.refusal} if request.refusal else {}),
        },
    )


class HostMiddleware:
    """Refuses names that are not in ALLOWED_HOSTS; Django looks only when somebody asks for the name."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        if not ANY_HOST.fullmatch(request.path_info):
            request.get_host()
        return self.get_response(request)


class BodyLimitMiddleware:
    """Reads the body, up to its limit. No transaction is open yet: a slow client must not hold one up."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        try:
            read_body(request, BODY_LIMITS.get(request.path_info, BODY_LIMIT))
        except DomainError as error:
            return problem_response(request, error)
        return self.get_response(request)


def read_body(request: HttpRequest, limit: int) -> None:
    """Raises PayloadTooLarge, or MalformedRequest if it can't be read or is shorter than announced."""
    announced = request.META.get("CONTENT_LENGTH", "")
    try:
        if announced:
            _read_announced(request, announced, limit)
        elif "HTTP_TRANSFER_ENCODING" in request.META:
            _read_chunked(request, limit)
    except (UnreadablePostError, OSError, ParseException) as error:
        raise MalformedRequest("The body can't be read.") from error


def _read_announced(request: HttpRequest, announced: str, limit: int) -> None:
    if not CONTENT_LENGTH.fullmatch(announced):
        raise MalformedRequest("Content-Length is not a number.")
    if int(announced) > limit:
        raise PayloadTooLarge
    if len(request.body) < int(announced):
        raise MalformedRequest("The body is shorter than Content-Length says.")


def _read_chunked(request: HttpRequest, limit: int) -> None:
    # Without Content-Length Django sees no body at all; gunicorn knows where the chunks end.
    if not request.META.get("wsgi.input_terminated"):
        raise MalformedRequest("The body's length is not known; send Content-Length.")
    body = request.META["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise PayloadTooLarge
    request.META["CONTENT_LENGTH"] = str(len(body))
    request._stream = BytesIO(body)
