"""Pages in the dress of Django's admin."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from saas.kit.errors import DomainError

ROWS_A_PAGE = 50
# Images as data: the QR code of a new second factor.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def page(
    request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
) -> HttpResponse:
    context |= {
        "title": title,
        "site_title": "Support",
        "site_header": "Support",
        "staff": getattr(request, "staff", None),
    }
    return render(request, f"support/{template}.html", context, status=status)


def staff_error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    request.refusal = error.code  # type: ignore[attr-defined]
    response = page(request, "error", title=error.title, status=error.status, error=error)
    for name, value in error.headers.items():
        response.headers[name] = value
    response.headers["Content-Security-Policy"] = POLICY
    return response


def rows_of_page(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """Those that `?page=` asks for; a number that is none shows the first page, one too high the last."""
    return Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))


def filters(request: HttpRequest) -> str:
    """The query without its page, for the links to others."""
    query = request.GET.copy()
    query.pop("page", None)
    return query.urlencode()
