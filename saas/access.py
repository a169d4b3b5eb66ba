"""The way into an organization: token verified, one Redis round trip, then the view inside the signed context."""

import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.callers import Caller, caller_from_facts, load_caller
from accounts.tokens import Claims, InvalidToken, verify_access_token
from saas.kit import gate
from saas.kit.errors import RateLimited
from saas.kit.http import Request, client_address
from saas.kit.rate_limits import ANONYMOUS, AUTHENTICATED, Limit, rate_limit_headers
from saas.problems import problem_response
from tenancy.context import org_context

OUTSIDE_LIMITS = re.compile(
    r"/(?:health(?:/\w+)?|metrics|webhooks/stripe)|/(?:\.well-known|static)/.*", re.DOTALL
)


class AccessMiddleware:
    """Sets `request.caller`, counts the request, and runs the view in its organization's transaction.

    A wrong token is no error yet: routes that need a caller refuse it, the others don't ask.
    """

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        request.claims, request.token_error, request.facts = None, None, None
        if OUTSIDE_LIMITS.fullmatch(request.path_info):
            return self.get_response(request)
        request.claims, request.token_error = _bearer(request)
        limit, passage = _pass_gate(request)
        request.facts = passage.facts
        headers = rate_limit_headers(passage.decision, limit)
        if passage.decision.allowed:
            response = self.get_response(request)
        else:
            response = problem_response(request, RateLimited(passage.decision.retry_after))
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    def process_view(
        self, request: Request, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        claims = request.claims
        if claims is None:
            return None
        if owns_transactions(view, request.method or ""):
            if request.facts is None:
                with org_context(claims.org_id):
                    _identify(request, claims)
            else:
                _identify(request, claims)
            return None
        with org_context(claims.org_id):
            _identify(request, claims)
            if request.caller is None:
                return None  # A route that asks for nobody runs as for anybody: outside the organization.
            response = view(request, *args, **kwargs)
            if hasattr(response, "render") and callable(response.render):
                # A lazily rendered template would read its rows after the transaction, and find none.
                response = response.render()
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response  # type: ignore[no-any-return]


def owns_transactions(view: Any, method: str) -> bool:
    """Whether a view opens its transactions itself: it, or its action, says `owns_transactions = True`."""
    kind = getattr(view, "cls", view)
    action = getattr(view, "actions", None) or {}
    handler = getattr(kind, action.get(method.lower(), method.lower()), None)
    return bool(getattr(handler, "owns_transactions", getattr(kind, "owns_transactions", False)))


def _bearer(request: HttpRequest) -> tuple[Claims | None, InvalidToken | None]:
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None, None
    if scheme.lower() != "bearer":
        return None, InvalidToken("The Authorization header must be: Bearer <token>.")
    try:
        return verify_access_token(raw.strip(" ")), None
    except InvalidToken as error:
        return None, error


def _pass_gate(request: Request) -> tuple[Limit, gate.Passage]:
    claims = request.claims
    if claims is not None:
        passage = gate.check(
            limit=AUTHENTICATED, tag=claims.cache_tag, sid=str(claims.sid), jti=str(claims.jti)
        )
        if not passage.revoked:
            return AUTHENTICATED, passage
        _refuse_token(request)
    return ANONYMOUS, gate.check(limit=ANONYMOUS, tag=gate.address_tag(client_address(request)))


def _identify(request: Request, claims: Claims) -> None:
    caller: Caller | None = (
        caller_from_facts(claims, request.facts) if request.facts is not None else load_caller(claims)
    )
    if caller is None:
        _refuse_token(request)
    request.caller = caller


def _refuse_token(request: Request) -> None:
    request.claims, request.token_error = None, InvalidToken()
