"""Sessions: opened by a log-in, rotated by each refresh, revoked in PostgreSQL first and then in Redis."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts import metrics
from accounts.issuing import TokenPair, issue_tokens
from accounts.models import Session, User
from accounts.selectors import live_sessions, session_alone
from accounts.tokens import Claims, SessionClaims, remaining_seconds
from saas.kit import clock, gate
from saas.kit.errors import DomainError, NotFound
from saas.kit.redis import RedisUnavailable
from saas.kit.security_log import note_after_commit
from tenancy.context import current_organization_id, org_context
from tenancy.jobs import defer
from tenancy.mails import queue_mail
from tenancy.support_audit import end_look

# Several tabs may present one token; an answer that got lost may be asked for again.
REUSE_GRACE = timedelta(seconds=10)
PARENT_GRACE = timedelta(seconds=60)
SESSION_LASTS = timedelta(days=settings.SESSION_DAYS)
# A page's session lives on by use; its row is not written on each request.
USE_NOTED_EVERY = timedelta(hours=1)


class InvalidRefreshToken(DomainError):
    code = "invalid_refresh_token"
    status = 401
    title = "Invalid refresh token"
    detail = "The refresh token is malformed, expired or revoked, or is not a refresh token."


class RefreshTokenReused(DomainError):
    code = "refresh_token_reused"
    status = 401
    title = "Refresh token reused"
    detail = "This refresh token was used before. The session has been ended; log in again."


class Presented(Enum):
    CURRENT = "current"
    REPEATED = "repeated"
    REUSED = "reused"


@dataclass(frozen=True, slots=True)
class Device:
    """Where a session was opened from."""

    ip: str | None
    user_agent: str


@transaction.atomic
def open_session(*, user: User, device: Device, lifetime: timedelta | None = None) -> Session:
    """It ends after `lifetime`, by default after a refresh token's."""
    now = clock.now()
    user.last_login_at = now
    user.save(update_fields=["last_login_at"])
    session = Session.objects.create(
        user=user,
        last_seen_at=now,
        expires_at=now + (lifetime or min(settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"], SESSION_LASTS)),
        ip=device.ip,
        user_agent=device.user_agent[:300],
    )
    _note("session_opened", session, address=device.ip)
    return session


def _note(event: str, session: Session, **facts: Any) -> None:
    ids = {"subject": session.user_id, "organization": session.organization_id, "session": session.id}
    note_after_commit(event, **ids, **facts)


def _prolonged(session: Session, now: datetime) -> datetime:
    """When a session ends that was used now: whatever its use, not later than SESSION_DAYS after the log-in."""
    unused: timedelta = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
    return min(now + unused, session.created_at + SESSION_LASTS)


def session_tokens(session: Session) -> TokenPair:
    return issue_tokens(
        user_id=session.user_id,
        organization_id=cast(UUID, session.organization_id),
        session_id=session.id,
        generation=session.refresh_generation,
    )


def refresh_session(claims: Claims) -> TokenPair:
    """Rotate a verified refresh token. Opens its own transaction, so that ending a reused session is kept.

    Raises InvalidRefreshToken, or RefreshTokenReused after the session was ended.
    """
    with org_context(claims.org_id):
        session = _rotate(claims) or _answer_repeated(claims)
    if session is None:
        metrics.REFRESHES.labels("reused").inc()
        raise RefreshTokenReused
    return session_tokens(session)


def _rotate(claims: Claims) -> Session | None:
    """Compare-and-swap on the generation: of parallel presentations of one token, one rotates."""
    session = _live(claims)
    if session.refresh_generation != claims.generation:
        return None
    now = clock.now()
    swapped = Session.objects.filter(
        id=claims.sid, refresh_generation=claims.generation, revoked_at=None
    ).update(
        refresh_generation=session.refresh_generation + 1,
        rotated_at=now,
        recent_rotations=[*_still_honoured(session, now), [session.refresh_generation, now.timestamp()]],
        last_seen_at=now,
        expires_at=_prolonged(session, now),
    )
    if not swapped:
        return None
    metrics.REFRESHES.labels("rotated").inc()
    _note("session_refreshed", session)
    session.refresh_generation += 1
    return session


def _answer_repeated(claims: Claims) -> Session | None:
    session = _live(claims, lock=True)
    if presented(session, claims.generation or 0, clock.now()) is not Presented.REUSED:
        metrics.REFRESHES.labels("repeated").inc()
        return session
    _note("refresh_token_reused", session)
    revoke_sessions(Session.objects.filter(id=session.id), reason="refresh_token_reused")
    queue_mail("accounts/refresh_token_reused", user_id=session.user_id, occasion=str(session.id))
    return None


def presented(session: Session, generation: int, now: datetime) -> Presented:
    """How a refresh token of `generation` counts against the session's state."""
    if generation >= session.refresh_generation:
        return Presented.CURRENT
    if generation in {rotated for rotated, _ in _still_honoured(session, now)}:
        return Presented.REPEATED
    is_parent = generation == session.refresh_generation - 1
    if is_parent and session.rotated_at and now - session.rotated_at <= PARENT_GRACE:
        return Presented.REPEATED
    return Presented.REUSED


def _still_honoured(session: Session, now: datetime) -> list[list[float]]:
    oldest = now.timestamp() - REUSE_GRACE.total_seconds()
    return [rotation for rotation in session.recent_rotations if rotation[1] >= oldest]


def _live(claims: Claims, *, lock: bool = False) -> Session:
    if lock:
        session = live_sessions(claims.user_id).filter(id=claims.sid).select_for_update(of=("self",)).first()
    else:
        session = session_alone(claims)
    if session is None or session.created_at + SESSION_LASTS <= clock.now():
        raise InvalidRefreshToken
    return session


def note_use(session: Session) -> bool:
    """Let a session that pages use live on. False if that was done within the last hour."""
    now = clock.now()
    if session.last_seen_at > now - USE_NOTED_EVERY:
        return False
    # Whoever has the row now says more of it than this would; to wait for them could be to wait for each other.
    free = Session.objects.filter(id=session.id, revoked_at=None).select_for_update(
        of=("self",), no_key=True, skip_locked=True
    )
    if free.only("id").first() is None:
        return False
    Session.objects.filter(id=session.id).update(last_seen_at=now, expires_at=_prolonged(session, now))
    return True


@transaction.atomic
def revoke_sessions(sessions: QuerySet[Session], *, reason: str) -> list[UUID]:
    """End sessions: in PostgreSQL with this transaction, in Redis right after it, and by a job until it landed."""
    locked = sessions.filter(revoked_at=None).select_for_update(of=("self",))
    live = list(locked.only("id", "user_id", "organization_id", "looking_staff_id"))
    ids = [session.id for session in live]
    if not ids:
        return []
    Session.objects.filter(id__in=ids).update(revoked_at=clock.now(), revoke_reason=reason)
    for session in live:
        _note("session_ended", session, reason=reason)
        if session.is_look:
            end_look(session.id, cause=reason)
    _blacklist(_by_user((session.id, session.user_id) for session in live))
    return ids


def _by_user(sessions: Iterable[tuple[UUID, UUID]]) -> dict[str, list[str]]:
    """(session, user) pairs as the sessions of each user, fit for a job's arguments."""
    by_user: dict[str, list[str]] = {}
    for session_id, user_id in sessions:
        by_user.setdefault(str(user_id), []).append(str(session_id))
    return by_user


def _blacklist(by_user: dict[str, list[str]]) -> None:
    defer("blacklist_sessions", sessions=by_user)
    organization_id = current_organization_id()
    transaction.on_commit(lambda: _write_blacklist_now(organization_id, by_user))


def _write_blacklist_now(organization_id: UUID, by_user: dict[str, list[str]]) -> None:
    try:
        write_blacklist(organization_id, by_user)
    except RedisUnavailable:
        metrics.REVOCATIONS_DELAYED.inc()


def write_blacklist(organization_id: UUID, by_user: dict[str, list[str]]) -> None:
    """Blacklist sessions in Redis until their last access token has run out. Raises RedisUnavailable."""
    lifetime = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] + settings.SIMPLE_JWT["LEEWAY"]
    for user_id, session_ids in by_user.items():
        gate.revoke(gate.user_tag(organization_id, user_id), session_ids, [], int(lifetime.total_seconds()))


def revoke_own_session(*, user_id: UUID, session_id: UUID) -> None:
    """Raises NotFound for a session that is over, or is not this user's."""
    if not revoke_sessions(Session.objects.filter(id=session_id, user_id=user_id), reason="revoked"):
        raise NotFound


def forget_facts_after_commit(user_ids: Iterable[UUID]) -> None:
    """Let the next request of these users' sessions read who they are from PostgreSQL."""
    live = Session.objects.filter(user_id__in=list(user_ids), revoked_at=None)
    by_user = _by_user(live.values_list("id", "user_id"))
    organization_id = current_organization_id()

    def forget() -> None:
        for user_id, session_ids in by_user.items():
            try:
                gate.forget_facts(gate.user_tag(organization_id, user_id), session_ids)
            except RedisUnavailable:
                metrics.REVOCATIONS_DELAYED.inc()

    transaction.on_commit(forget)


def log_out(claims: SessionClaims, *, scope: str) -> None:
    """End the named session (`local`), the user's others (`others`) or all (`global`). Idempotent."""
    with org_context(claims.org_id):
        sessions = Session.objects.filter(user_id=claims.user_id)
        if scope == "local":
            sessions = sessions.filter(id=claims.sid)
        elif scope == "others":
            sessions = sessions.exclude(id=claims.sid)
        revoke_sessions(sessions, reason="logged_out")
    if scope != "others" and isinstance(claims, Claims) and claims.generation is None:
        _blacklist_token(claims)


def _blacklist_token(claims: Claims) -> None:
    try:
        gate.revoke(claims.cache_tag, [], [str(claims.jti)], remaining_seconds(claims))
    except RedisUnavailable:
        metrics.REVOCATIONS_DELAYED.inc()
