"""Sliding-window rate limits, exact in Redis and per process while Redis is away."""

import math
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from saas.kit.errors import RateLimited
from saas.kit.redis import RedisUnavailable, Script, call

MICROSECONDS = 1_000_000
MINUTE = 60
HOUR = 60 * MINUTE

WINDOW_LUA = Path(__file__).with_name("rate_limit.lua").read_text()
HIT = Script(WINDOW_LUA, "return take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), now(), true)")

DECISIONS = Counter(
    "saas_rate_limit_decisions",
    "Rate limit decisions; source `process` means that Redis was away.",
    ["limit", "source", "outcome"],
)
_decisions = cache(DECISIONS.labels)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` admissions in any `per` seconds. The name shows in headers, keys and metrics."""

    name: str
    amount: int
    per: float


ANONYMOUS = Limit("anonymous", 100, per=MINUTE)
AUTHENTICATED = Limit("authenticated", 1000, per=MINUTE)
# Whoever uses a stolen token up must not keep its owner from ending the session.
LOG_OUTS = Limit("log-outs", 60, per=MINUTE)
# Providers send bursts, and try again what is refused.
WEBHOOKS = Limit("webhooks", 3000, per=MINUTE)
# Mails of one kind that others can have sent to an address, and what a person or an organization can have sent.
MAILS_TO_AN_ADDRESS = Limit("mails-to-an-address", 5, per=HOUR)
ADDRESS_CHANGES = Limit("address-changes", 5, per=HOUR)
INVITATIONS = Limit("invitations", 50, per=HOUR)
LOGIN_FAILURES = Limit("login-failures", 5, per=15 * MINUTE)

# What machines ask for all the time; no limit counts it.
OUTSIDE_LIMITS = re.compile(r"/(?:health(?:/\w+)?|metrics)|/(?:\.well-known|static)/.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Decision:
    """Times are seconds: until one more request is available, and until the next one would be admitted."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: float

    @property
    def retry_after(self) -> float:
        return 0.0 if self.remaining else self.reset_after


def hit(limit: Limit, key: str) -> Decision:
    """Count one request against a limit. Never raises for Redis: the process decides while it is away."""
    keys, args = [rate_key(limit, key)], window_args(limit)
    try:
        reply = call(lambda redis: HIT(redis, keys, args), name="rate_limit")
    except RedisUnavailable:
        return local_hit(limit, key)
    return redis_decision(limit, reply)


def spend(limit: Limit, key: str) -> None:
    """`hit`, raising RateLimited with the limit's own headers where it is denied."""
    decision = hit(limit, key)
    if not decision.allowed:
        raise RateLimited(decision.retry_after, headers=rate_limit_headers(decision, limit))


def rate_key(limit: Limit, key: str) -> str:
    return f"{key}:rate:{limit.name}"


def window_args(limit: Limit) -> tuple[int, int]:
    return limit.amount, round(limit.per * MICROSECONDS)


def redis_decision(limit: Limit, reply: Any) -> Decision:
    """The decision in the first three values of a script's reply."""
    allowed, remaining, reset = reply[:3]
    decision = Decision(bool(allowed), limit.amount, remaining, reset / MICROSECONDS)
    return _counted(limit, "redis", decision)


def local_hit(limit: Limit, key: str) -> Decision:
    """This process's own decision, for when Redis is away."""
    return _counted(limit, "process", local_windows.hit(limit, key))


def _counted(limit: Limit, source: str, decision: Decision) -> Decision:
    _decisions(limit.name, source, "allowed" if decision.allowed else "denied").inc()
    return decision


class LocalWindows:
    """Exact sliding windows of one process: a bounded number, the longest unused forgotten first."""

    def __init__(self, *, max_keys: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[Limit, str], deque[float]] = OrderedDict()

    def hit(self, limit: Limit, key: str) -> Decision:
        with self._lock:
            now = self._clock()
            window = self._windows.setdefault((limit, key), deque())
            self._windows.move_to_end((limit, key))
            while window and window[0] <= now - limit.per:
                window.popleft()
            allowed = len(window) < limit.amount
            if allowed:
                window.append(now)
            self._forget_stale(now)
            return Decision(allowed, limit.amount, limit.amount - len(window), window[0] + limit.per - now)

    def _forget_stale(self, now: float) -> None:
        # Two for each that may be added: memory falls after a flood, and no call pays for all of it. The
        # window just hit is the last and has a fresh entry, so it stays.
        for _ in range(2):
            (limit, key), window = next(iter(self._windows.items()))
            if len(self._windows) <= self._max_keys and window[-1] > now - limit.per:
                return
            del self._windows[limit, key]


local_windows = LocalWindows()


def rate_limit_headers(decision: Decision, limit: Limit) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10 and, if denied, `Retry-After` (RFC 9110)."""
    headers = {
        "RateLimit-Policy": f'"{limit.name}";q={limit.amount};w={math.ceil(limit.per)}',
        "RateLimit": f'"{limit.name}";r={decision.remaining};t={math.ceil(decision.reset_after)}',
    }
    if not decision.allowed:
        headers["Retry-After"] = str(max(1, math.ceil(decision.retry_after)))
    return headers
