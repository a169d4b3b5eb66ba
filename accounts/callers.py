"""Who makes a request: what PostgreSQL says of a session, and Redis repeats for at most 30 seconds."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings

from accounts import selectors
from accounts.models import Session
from accounts.profiles import Profile, profile_of, to_facts
from accounts.tokens import SessionClaims
from saas.kit import gate
from saas.kit.redis import RedisUnavailable


@dataclass(frozen=True, slots=True)
class Look:
    """Who of the support staff looks as the caller, and may do nothing else."""

    staff_id: UUID
    staff_email: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """The verified caller of a request; `organization_id` comes from the token or the page's session alone."""

    user_id: UUID
    organization_id: UUID
    session_id: UUID
    role: str
    profile: Profile
    claims: SessionClaims
    look: Look | None = None

    is_authenticated = True


def caller_of_profile(claims: SessionClaims, profile: Profile) -> Caller:
    return Caller(claims.user_id, claims.org_id, claims.sid, profile.role, profile, claims)


def load_caller(claims: SessionClaims) -> Caller | None:
    """Ask PostgreSQL, inside the organization's context or outside of any.

    None if the session is over or its user can't go on.
    """
    found = selectors.live_profile(claims)
    if found is None:
        return None
    caller = _with_look(caller_of_profile(claims, found.profile), found)
    # Of a look Redis knows nothing: PostgreSQL is asked each time whether it still lasts.
    if caller.look is None:
        _remember(claims, caller.profile)
    return caller


def caller_from_session(claims: SessionClaims, session: Session) -> Caller:
    """A page reads its session's row anyway, for what it shows of the person; so Redis need not vouch for it."""
    return _with_look(caller_of_profile(claims, profile_of(session.user)), session)


def _with_look(caller: Caller, seen: Session | selectors.LiveProfile) -> Caller:
    if seen.looking_staff_id is None:
        return caller
    return replace(caller, look=Look(seen.looking_staff_id, seen.looking_staff_email, seen.expires_at))


def _remember(claims: SessionClaims, profile: Profile) -> None:
    if not settings.SESSION_FACTS_SECONDS:
        return
    facts = to_facts(profile, claims)
    try:
        gate.remember_facts(claims.cache_tag, str(claims.sid), facts, settings.SESSION_FACTS_SECONDS)
    except RedisUnavailable:
        pass  # The next request asks PostgreSQL again; saas.kit.redis has counted it.
