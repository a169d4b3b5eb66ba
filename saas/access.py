"""The way into an organization: token or page session verified, one Redis round trip, then the view inside the context."""

import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.callers import Caller, caller_of_profile, load_caller
from accounts.page_sessions import page_claims
from accounts.profiles import from_facts
from accounts.services.looks import LookReadsOnly
from accounts.tokens import Claims, InvalidToken, SessionClaims, verify_access_token
from saas.kit import gate
from saas.kit.errors import DomainError, RateLimited
from saas.kit.http import Request, add_headers, client_address
from saas.kit.rate_limits import (
    ANONYMOUS,
    AUTHENTICATED,
    LOG_OUTS,
    OUTSIDE_LIMITS,
    WEBHOOKS,
    Limit,
    rate_limit_headers,
)
from saas.pages import load_page_caller
from saas.problems import ADMIN, problem_response
from support.cookies import SESSION as STAFF_SESSION
from tenancy.access import refuse_read_only
from tenancy.context import ReadingAllowedAlone, org_context

WEBHOOK = re.compile(r"/webhooks/\w+")
# Where a customer's token counts for nothing.
WITHOUT_TOKEN = re.compile(r"/webhooks/\w+|/admin(?:/.*)?", re.DOTALL)
# Where a look as a customer may send something: that ends it.
LOOKS_END_AT = ("/logout", "/auth/logout", "/look")
LOG_OUTS_AT = ("/auth/logout", "/logout")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class AccessMiddleware:
    """Sets `request.caller`, counts the request, and runs the view in its organization's transaction.

    A wrong token is no error yet: routes that need a caller refuse it, the others don't ask.
    """

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        request.claims, request.token_error, request.profile = None, None, None
        if OUTSIDE_LIMITS.fullmatch(request.path_info):
            return self.get_response(request)
        if request.is_page:
            request.claims = page_claims(request)
        elif not WITHOUT_TOKEN.fullmatch(request.path_info):
            request.claims, request.token_error = _bearer(request)
        limit, passage = _pass_gate(request)
        if passage.facts is not None and request.claims is not None and not request.is_page:
            request.profile = from_facts(passage.facts, request.claims)
        headers = rate_limit_headers(passage.decision, limit)
        if passage.decision.allowed:
            with ReadingAllowedAlone() as reading:
                request.read_only_from_now_on = reading.from_now_on
                response = self.get_response(request)
        else:
            response = problem_response(request, RateLimited(passage.decision.retry_after))
        add_headers(response, headers)
        return response

    def process_view(
        self, request: Request, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if request.claims is None:
            return None
        try:
            if declares(view, "owns_transactions", request):
                _prepare_caller(request, request.claims, view)
                return None
            return _call_inside(request, request.claims, view, args, kwargs)
        except DomainError as error:
            return problem_response(request, error)


def _prepare_caller(request: Request, claims: SessionClaims, view: Any) -> None:
    if not request.is_page and not _is_organizations_write(request, view):
        _identify(request, claims)  # From Redis' facts, or with a transaction of its own.
        return
    with org_context(claims.org_id):
        _identify(request, claims)
        _refuse_suspended(request, view)


def _call_inside(
    request: Request,
    claims: SessionClaims,
    view: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> HttpResponseBase | None:
    with org_context(claims.org_id):
        _identify(request, claims)
        if request.caller is None:
            return None  # A route that asks for nobody runs as for anybody: outside the organization.
        _refuse_suspended(request, view)
        response = view(request, *args, **kwargs)
        if hasattr(response, "render") and callable(response.render):
            # A lazily rendered template would read its rows after the transaction, and find none.
            response = response.render()
        if response.status_code >= 400:
            transaction.set_rollback(True)
    return response  # type: ignore[no-any-return]


def _is_organizations_write(request: HttpRequest, view: Any) -> bool:
    return request.method not in SAFE_METHODS and not declares(view, "works_read_only", request)


def _refuse_suspended(request: Request, view: Any) -> None:
    if request.caller is not None and _is_organizations_write(request, view):
        refuse_read_only()


def declares(view: Any, attribute: str, request: HttpRequest) -> bool:
    """Whether a view, or its action for this method, says `attribute = True`.

    `owns_transactions`: it opens its transactions itself. `works_read_only`: its writes are a person's own, or
    the way out, so that they work while the organization's access is read-only.
    """
    kind = getattr(view, "cls", view)
    method = (request.method or "").lower()
    handler = getattr(kind, (getattr(view, "actions", None) or {}).get(method, method), None)
    return bool(getattr(handler, attribute, getattr(kind, attribute, False)))


def _bearer(request: HttpRequest) -> tuple[Claims | None, InvalidToken | None]:
    scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
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
        limit = LOG_OUTS if request.path_info in LOG_OUTS_AT else AUTHENTICATED
        jti = str(claims.jti) if isinstance(claims, Claims) else None
        passage = gate.check(limit=limit, tag=claims.cache_tag, sid=str(claims.sid), jti=jti)
        if not passage.revoked:
            return limit, passage
        _refuse_token(request)
    elif ADMIN.fullmatch(request.path_info) and (session := STAFF_SESSION.read(request)):
        # As others who are logged in. Who forges the cookie fails at its signature.
        return AUTHENTICATED, gate.check(limit=AUTHENTICATED, tag=f"staff:{session}")
    limit = WEBHOOKS if WEBHOOK.fullmatch(request.path_info) else ANONYMOUS
    return limit, gate.check(limit=limit, tag=gate.address_tag(client_address(request)))


def _identify(request: Request, claims: SessionClaims) -> None:
    request.caller = _caller(request, claims)
    if request.caller is None:
        _refuse_token(request)
    elif request.caller.look is not None:
        _look_only(request)


def _look_only(request: Request) -> None:
    """Raises LookReadsOnly. PostgreSQL would refuse the writes of a route that this does not know, too."""
    if request.method in SAFE_METHODS:
        request.read_only_from_now_on()
    elif request.path_info not in LOOKS_END_AT:
        raise LookReadsOnly


def _caller(request: Request, claims: SessionClaims) -> Caller | None:
    if request.is_page:
        return load_page_caller(request, claims)
    return caller_of_profile(claims, request.profile) if request.profile is not None else load_caller(claims)


def _refuse_token(request: Request) -> None:
    request.claims, request.token_error = None, InvalidToken()
