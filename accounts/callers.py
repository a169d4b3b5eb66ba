"""Who makes a request: what PostgreSQL says of a session, and Redis repeats for at most 30 seconds."""

from dataclasses import dataclass
from uuid import UUID

import orjson
from django.conf import settings

from accounts import selectors
from accounts.models import Session, User
from accounts.tokens import SessionClaims
from saas.kit import gate
from saas.kit.redis import RedisUnavailable


@dataclass(frozen=True, slots=True)
class Caller:
    """The verified caller of a request; `organization_id` comes from the token or the page's session alone.

    Where PostgreSQL was asked for the session, it has given the `person` with it.
    """

    user_id: UUID
    organization_id: UUID
    session_id: UUID
    role: str
    email_verified: bool
    claims: SessionClaims
    person: User | None = None

    is_authenticated = True


def caller_from_facts(claims: SessionClaims, facts: bytes) -> Caller:
    role, email_verified = orjson.loads(facts)
    return _caller(claims, role, email_verified)


def load_caller(claims: SessionClaims) -> Caller | None:
    """Ask PostgreSQL, inside the organization's context; None if the session is over or its user can't go on."""
    session = selectors.live_session(session_id=claims.sid, user_id=claims.user_id)
    if session is None:
        return None
    caller = caller_from_session(claims, session)
    _remember(claims, orjson.dumps((caller.role, caller.email_verified)))
    return caller


def caller_from_session(claims: SessionClaims, session: Session) -> Caller:
    """A page reads its session's row anyway, for what it shows of the person; so Redis need not vouch for it."""
    person = session.user
    return _caller(claims, person.role, person.email_verified_at is not None, person)


def _remember(claims: SessionClaims, facts: bytes) -> None:
    if not settings.SESSION_FACTS_SECONDS:
        return
    try:
        gate.remember_facts(claims.cache_tag, str(claims.sid), facts, settings.SESSION_FACTS_SECONDS)
    except RedisUnavailable:
        pass  # The next request asks PostgreSQL again; saas.kit.redis has counted it.


def _caller(claims: SessionClaims, role: str, email_verified: bool, person: User | None = None) -> Caller:
    return Caller(claims.user_id, claims.org_id, claims.sid, role, email_verified, claims, person)
