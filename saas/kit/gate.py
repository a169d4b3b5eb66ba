"""The one Redis round trip of a request: rate limit, blacklist and cached session facts.

Redis only makes things faster here. A session's facts in it say that PostgreSQL found the session alive at
most FACTS_SECONDS ago, and **no facts means: ask PostgreSQL**. So nothing depends on an entry staying: when
Redis is emptied, evicts a blacklist entry or fails over to a lagging replica, the facts are gone too or run
out within FACTS_SECONDS, and the session's row decides. An empty blacklist is never a proof that a token is
good. That row knows no `jti`: a revocation that must outlive Redis revokes the session.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from uuid import UUID

from saas.kit import redis
from saas.kit.rate_limits import WINDOW_LUA, Decision, Limit, local_hit, rate_key, redis_decision, window_args
from saas.kit.redis import RedisUnavailable, Script, call

FACTS_SECONDS = 30
# Outlives the facts it stands in for and any request that read the database before the change.
TOMBSTONE_SECONDS = 2 * FACTS_SECONDS
TOMBSTONE = b""
# Redis does nothing else while a script runs: of a thousand keys, 3 ms.
KEYS_AT_ONCE = 1000

GATE = Script(WINDOW_LUA, Path(__file__).with_name("gate.lua").read_text())
TOMBSTONES = Script(Path(__file__).with_name("tombstones.lua").read_text())


@dataclass(frozen=True, slots=True)
class Passage:
    """`facts` is None when PostgreSQL must be asked. If `revoked`, nothing was counted against the limit."""

    decision: Decision
    revoked: bool
    facts: bytes | None
    redis_answered: bool


def check(*, limit: Limit, tag: str, sid: str | None = None, jti: str | None = None) -> Passage:
    """Count a request against a limit and look its session up. `tag` is a `user_tag` or an `address_tag`.

    Never raises for Redis: while it is away this process counts, and the caller asks PostgreSQL. So it does for a while
    after, since what was revoked meanwhile may not have reached Redis, which may still hold facts from before.
    """
    keys, args = _keys(limit, tag, sid, jti), window_args(limit)
    try:
        reply = call(partial(GATE, keys=keys, args=args), name="gate")
    except RedisUnavailable:
        return Passage(local_hit(limit, tag), revoked=False, facts=None, redis_answered=False)
    facts = None if redis.breaker.failed_within(TOMBSTONE_SECONDS) else reply[4] or None
    return Passage(redis_decision(limit, reply), revoked=bool(reply[3]), facts=facts, redis_answered=True)


def _keys(limit: Limit, tag: str, sid: str | None, jti: str | None) -> list[str]:
    keys = [rate_key(limit, tag)]
    if sid is None:
        if jti is not None:
            raise ValueError("a jti is looked up with its sid")
        return keys
    keys += [_facts_key(tag, sid), _changed_key(tag), _revoked_key(tag, "sid", sid)]
    if jti is not None:
        keys.append(_revoked_key(tag, "jti", jti))
    return keys


def remember_facts(tag: str, sid: str, facts: bytes, seconds: int = FACTS_SECONDS) -> None:
    """Keep what PostgreSQL says of a session, unless it was forgotten while PostgreSQL was being asked.

    Raises RedisUnavailable; a caller may ignore that, the next request asks PostgreSQL again.
    """
    if not facts:
        raise ValueError("empty facts are a tombstone")
    if not 0 < seconds <= FACTS_SECONDS:
        raise ValueError(f"facts are kept for at most {FACTS_SECONDS} s")
    # NX also leaves older facts alone: refreshed for ever, they could outlive a revocation that was missed.
    call(lambda client: client.set(_facts_key(tag, sid), facts, ex=seconds, nx=True), name="remember_facts")


def forget_facts(tag: str, sids: Iterable[str]) -> None:
    """Make the next request of each session ask PostgreSQL. Raises RedisUnavailable if that did not land."""
    _store({_facts_key(tag, sid): TOMBSTONE_SECONDS for sid in sids}, name="forget_facts")


def forget_organization(organization_id: UUID) -> None:
    """The same for everybody's sessions in an organization, for a minute. Raises RedisUnavailable.

    Facts that a slow reader remembers only now don't count either, since they run out before that minute does.
    """
    _store({_changed_key(user_tag(organization_id, "")): TOMBSTONE_SECONDS}, name="forget_organization")


def revoke(tag: str, sids: Iterable[str], jtis: Iterable[str], seconds: int) -> None:
    """Blacklist sessions and single tokens for the `seconds` that their last token has to live.

    Raises RedisUnavailable if that did not land; writing it again is harmless.
    """
    sids = list(sids)
    tombstones = [_facts_key(tag, sid) for sid in sids]
    revoked = [_revoked_key(tag, "sid", sid) for sid in sids] + [
        _revoked_key(tag, "jti", jti) for jti in jtis
    ]
    _store(
        dict.fromkeys(tombstones, TOMBSTONE_SECONDS) | dict.fromkeys(revoked, max(seconds, 1)), name="revoke"
    )


def _store(lifetimes: dict[str, int], *, name: str) -> None:
    """Set keys to the empty string, each for its number of seconds. If that fails, some may be set."""
    names = list(lifetimes)
    for start in range(0, len(names), KEYS_AT_ONCE):
        keys = names[start : start + KEYS_AT_ONCE]
        seconds = [lifetimes[key] for key in keys]
        # Redis may be back already, and answering other processes with facts that just ceased to be true.
        call(partial(TOMBSTONES, keys=keys, args=seconds), name=name, insist=True)


def _facts_key(tag: str, sid: str) -> str:
    return f"{tag}:facts:{sid}"


def _changed_key(tag: str) -> str:
    return f"{tag.partition(':')[0]}:changed"


def _revoked_key(tag: str, kind: str, value: str) -> str:
    return f"{tag}:revoked:{kind}:{value}"


def user_tag(organization_id: UUID, user_id: UUID | str) -> str:
    """What a user's keys share; a cluster's hash slot is the organization's, since one call touches both's keys."""
    return f"{{{organization_id}}}:{user_id}"


def address_tag(ip: str) -> str:
    """The tag of an anonymous client: its IPv4 address, or its IPv6 /64, all of which one customer has.

    Raises ValueError if it is no address.
    """
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return f"ip:{ip_network((address.packed, 64), strict=False).network_address}/64"
        address = address.ipv4_mapped
    return f"ip:{address}"
