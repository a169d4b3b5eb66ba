"""What only pages need: a session's cookie, messages, a language, a time zone. API paths pass by untouched."""

from collections.abc import Callable
from typing import Any

from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils import timezone, translation

from accounts.callers import Caller, caller_from_session
from accounts.page_sessions import browser
from accounts.selectors import live_session
from accounts.services.sessions import note_use
from accounts.tokens import SessionClaims
from billing.pages.words import offers
from saas.kit.errors import NotAuthenticated
from saas.kit.http import Request
from saas.kit.pages import is_page, page
from saas.problems import CONTENT_TYPE, problem_response


class PageMiddleware:
    """Says whether a request is for a page, or for nothing and made by a browser; then its errors are pages too."""

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response
        with_messages = MessageMiddleware(_without_news_of_failure(get_response))  # type: ignore[arg-type]
        self.get_page: Callable[[Request], HttpResponseBase] = SessionMiddleware(with_messages)  # type: ignore[arg-type, assignment]

    def __call__(self, request: Request) -> HttpResponseBase:
        request.person = None
        request.is_page = not _has_token(request) and is_for_people(request)
        if not request.is_page:
            return self.get_response(request)
        # Both are a thread's, and the next request of this one may be the API's, which speaks English.
        language = translation.get_language_from_request(request)
        with translation.override(language), timezone.override(None):
            response = self.get_page(request)
            response.headers.setdefault("Content-Language", translation.get_language() or language)
            return response

    def process_view(self, request: Request, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if is_page(view) and not request.is_page:
            return problem_response(request, NotAuthenticated("A page is opened without a token."))
        return None


def _without_news_of_failure(
    get_response: Callable[[Request], HttpResponseBase],
) -> Callable[[Request], HttpResponseBase]:
    """A view says "saved" before its transaction commits. What an error took back is not told on the next page."""

    def answer(request: Request) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code >= 400:
            request._messages._queued_messages.clear()
        return response

    return answer


def load_page_caller(request: Request, claims: SessionClaims) -> Caller | None:
    """Ask PostgreSQL, inside the organization's context: the page shows the person's name and organization anyway.

    None if the session is over.
    """
    session = live_session(claims)
    if session is None:
        return None
    if request.method in ("GET", "HEAD") and not session.is_look and note_use(session):
        browser(request).modified = True  # The cookie is sent again, with its age at zero.
    request.person = session.user
    translation.activate(session.user.locale)
    timezone.activate(session.user.timezone)
    return caller_from_session(claims, session)


def _has_token(request: HttpRequest) -> bool:
    authorization: str = request.META.get("HTTP_AUTHORIZATION", "")
    return authorization.lower().startswith("bearer ")


def is_for_people(request: HttpRequest) -> bool:
    try:
        return is_page(resolve(request.path_info).func)
    except Resolver404:
        return request.get_preferred_type([CONTENT_TYPE, "text/html"]) == "text/html"


def person_and_place(request: HttpRequest) -> dict[str, Any]:
    """For templates: who asks, if anybody is logged in, and the first part of the page's path."""
    return {
        "caller": getattr(request, "caller", None),
        "person": getattr(request, "person", None),
        "place": place_of(request),
    }


def place_of(request: HttpRequest) -> str:
    """The first part of the path, which may be `*` (RFC 9112, 3.2.4)."""
    return request.path_info.lstrip("/").partition("/")[0]


@page(is_public=True)
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "saas/landing.html", {"offers": offers()})
