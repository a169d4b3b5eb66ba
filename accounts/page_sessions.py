"""A page's session: a signed cookie that names a session's row, and nothing that the row decides."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.middleware.csrf import rotate_token

from accounts.models import Session
from accounts.services.sessions import log_out
from accounts.tokens import SessionClaims
from saas.kit.http import Request

NAMES = ("user_id", "org_id", "sid")


def begin_page_session(request: Request, session: Session) -> None:
    """Log the browser in. Whatever its cookie held is gone, and a session that it named has ended."""
    end_page_session(request)
    names = {"user_id": session.user_id, "org_id": session.organization_id, "sid": session.id}
    browser(request).update({name: str(value) for name, value in names.items()})
    rotate_token(request)


def end_page_session(request: Request) -> None:
    if (held := page_claims(request)) is not None:
        log_out(held, scope="local")
    browser(request).flush()


def forget_here(request: Request, response: HttpResponse) -> HttpResponse:
    """Log the browser out: `response` tells it to drop what it keeps of the pages that it has shown, too."""
    end_page_session(request)
    # Not "cookies": what the next page is to say is in one.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def page_claims(request: Request) -> SessionClaims | None:
    """What the cookie says, once its signature and age are right; whether the session lives is asked elsewhere."""
    try:
        return SessionClaims(**{name: UUID(browser(request)[name]) for name in NAMES})
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def browser(request: Request) -> Any:
    """What Django keeps in the cookie."""
    return request.session
