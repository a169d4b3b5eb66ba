"""Plain http leads people to https. Programs are refused: redirected, they would go on sending tokens in the clear."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

from saas.kit.errors import DomainError
from saas.kit.http import Request
from saas.pages import is_for_people
from saas.problems import ADMIN, problem_response


class HttpsRequired(DomainError):
    code = "https_required"
    status = 403
    title = "HTTPS required"
    detail = "Nothing is answered over plain http. What was sent could be read on its way: use https, and another token."


class HttpsMiddleware:
    """Stands before Django's SecurityMiddleware, and asks it what it would redirect."""

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.redirect_of = SecurityMiddleware(get_response).process_request  # type: ignore[arg-type]

    def __call__(self, request: Request) -> HttpResponseBase:
        if self.redirect_of(request) is None or _is_opened_by_people(request):
            return self.get_response(request)
        return problem_response(request, HttpsRequired())


def _is_opened_by_people(request: HttpRequest) -> bool:
    return bool(ADMIN.fullmatch(request.path_info)) or request.path_info == "/docs" or is_for_people(request)
