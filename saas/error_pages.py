"""An error as a page that says what to do next."""

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from saas.kit.errors import DomainError
from saas.kit.pages import page_policy, spoken


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    # No transaction is open any more, and none can be: it shows nothing that has to be read first.
    context = {
        "title": _title(error),
        "words": spoken(error),
        "status": error.status,
        "request_id": getattr(request, "request_id", ""),
        "person": getattr(request, "person", None),
        "caller": getattr(request, "caller", None),
        "place": request.path_info.lstrip("/").partition("/")[0],
        "pays": error.status == 402,
    }
    content = render_to_string("saas/error.html", context)
    response = HttpResponse(content, status=error.status, headers=error.headers)
    response.headers["Content-Security-Policy"] = page_policy()
    return response


def _title(error: DomainError) -> str:
    titles: dict[str | int, str] = {
        "csrf_failed": _("Please send it once more"),
        402: _("A payment is due"),
        403: _("You may not do this"),
        404: _("Not found"),
        429: _("Too many requests"),
        503: _("Back in a moment"),
    }
    return titles.get(error.code) or titles.get(error.status) or _("That did not work")
