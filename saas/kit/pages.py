"""What makes a view a page: its methods, its defence against forged requests, its headers, its forms."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from saas.kit.errors import DomainError, NotFound, ValidationFailed
from saas.kit.http import Request
from saas.kit.serializers import StrictSerializer, field_errors

PageView = Callable[..., HttpResponseBase]


def page_policy(form_targets: Sequence[str] = ()) -> str:
    """A page's Content-Security-Policy. `form_targets` are origins that an answer to a form may redirect to."""
    targets = " ".join(("'self'", *form_targets))
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        f"form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    )


def page(
    *methods: str,
    is_public: bool = False,
    owns_transactions: bool = False,
    works_read_only: bool = False,
    holds_token: bool = False,
    form_targets: Callable[[], Sequence[str]] = tuple,
) -> Callable[[PageView], PageView]:
    """Marks a function as a page, which the session's cookie opens and no token does.

    Without `is_public` whoever is not logged in is sent to the log-in. `owns_transactions` and `works_read_only`
    say what they say of any view (saas.access). `holds_token`: its address does, and no Referer may show it.
    """
    accepted = list(methods or ("GET",)) + (["HEAD"] if "GET" in (methods or ("GET",)) else [])

    def decorate(view: PageView) -> PageView:
        def for_whom(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.caller is None and not is_public:
                return _to_log_in(request)
            return view(request, *args, **kwargs)

        guarded: PageView = csrf_protect(require_http_methods(accepted)(for_whom))

        @wraps(view)
        def answer(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            response = guarded(request, *args, **kwargs)
            response.headers.setdefault("Content-Security-Policy", page_policy(form_targets()))
            response.headers["Cache-Control"] = "no-store"
            if holds_token:
                # With `no-referrer` browsers send `Origin: null` with the page's own form, which looks forged.
                response.headers["Referrer-Policy"] = "strict-origin"
            return response

        marks = {
            "is_page": True,
            "methods": [method.lower() for method in methods or ("GET",)],
            "owns_transactions": owns_transactions,
            "works_read_only": works_read_only,
        }
        for name, value in marks.items():
            setattr(answer, name, value)
        return answer

    return decorate


def is_page(view: Any) -> bool:
    return bool(getattr(view, "is_page", False))


def _to_log_in(request: Request) -> HttpResponse:
    if request.method in ("GET", "HEAD"):
        return see_other(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': request.get_full_path()})}")
    messages.info(request, _("Your session has ended. Log in and try once more."))
    return see_other(settings.LOGIN_URL)


def see_other(to: str, **names: Any) -> HttpResponse:
    """The answer to a form that was accepted, so that reloading sends nothing again (RFC 9110, 15.4.4)."""
    response: HttpResponse = redirect(to, **names)
    response.status_code = 303
    return response


def local_path(text: str, default: str) -> str:
    """`text` if it is a path of this site, and nothing that a browser reads as another one; else `default`."""
    is_local = text.startswith("/") and url_has_allowed_host_and_scheme(text, allowed_hosts=None)
    return text if is_local else default


class Form:
    """What was typed into a page's form, read with the API's own request serializer, and what is wrong with it.

    Templates show `values`, `errors` (texts by field) and `error`. `values` are those that were there before
    until something is sent; passwords are never shown again.
    """

    def __init__(
        self,
        request: Request,
        serializer: type[StrictSerializer],
        *,
        values: dict[str, Any] | None = None,
    ) -> None:
        self.request, self.serializer = request, serializer
        self.names: list[str] = list(serializer().get_fields())
        self.sent = {name: request.POST[name] for name in self.names if name in request.POST}
        shown = {name: value for name, value in self.sent.items() if not name.endswith("password")}
        self.values = {**(values or {}), **shown}
        self.errors: dict[str, list[str]] = {}
        self.error = ""
        self.status = 200
        self._headers: dict[str, str] = {}

    def read(self) -> dict[str, Any]:
        """The validated fields. Raises ValidationFailed."""
        serializer = self.serializer(data=self.sent)
        if not serializer.is_valid():
            raise ValidationFailed(field_errors(serializer.errors))
        fields: dict[str, Any] = serializer.validated_data
        return fields

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Keep what is refused inside for the page, to be shown with the form. What is not there has no form."""
        try:
            yield
        except NotFound:
            raise
        except DomainError as error:
            self.refuse(error)

    def refuse(self, error: DomainError) -> None:
        # 401 asks for credentials in a header (RFC 9110, 15.5.2), which no page takes.
        self.request.refusal = error.code
        self.status, self._headers = (403 if error.status == 401 else error.status), error.headers
        for entry in error.extra.get("errors", ()):
            name = entry.get("pointer", "#").removeprefix("#/")
            self.errors.setdefault(name if name in self.names else "", []).append(entry["detail"])
        self.error = " ".join(self.errors.pop("", [])) or ("" if self.errors else spoken(error))

    def render(self, template: str, context: dict[str, Any] | None = None) -> HttpResponse:
        response = render(self.request, template, {"form": self, **(context or {})}, status=self.status)
        for name, value in self._headers.items():
            response.headers[name] = value
        return response


def read_query(serializer_class: type[StrictSerializer], request: HttpRequest) -> dict[str, Any]:
    """A page's query. What it does not know or what was left empty is nothing. Raises ValidationFailed."""
    names = serializer_class().get_fields()
    serializer = serializer_class(data={name: request.GET[name] for name in names if request.GET.get(name)})
    if not serializer.is_valid():
        raise ValidationFailed(field_errors(serializer.errors, in_query=True))
    validated: dict[str, Any] = serializer.validated_data
    return validated


def kept_query(request: HttpRequest) -> str:
    """A list's query as it goes on to its next page, which has a cursor of its own."""
    query = request.GET.copy()
    query.pop("cursor", None)
    return query.urlencode()


def spoken(error: DomainError) -> str:
    """The error for a person: what it was told to say, or its kind's `words`, or what it says to programs."""
    is_special = error.detail != type(error).detail
    return str(error.detail if is_special else error.words or error.detail)
