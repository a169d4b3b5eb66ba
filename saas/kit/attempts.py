"""Failure-sensitive limit: log-in attempts that fail earn blocks that grow and are forgotten again."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.utils.crypto import salted_hmac
from prometheus_client import Counter

from saas.kit.rate_limits import LOGIN_FAILURES, MINUTE
from saas.kit.redis import RedisUnavailable, Script, call

FIRST_BLOCK = 30
LONGEST_BLOCK = 15 * MINUTE

ATTEMPTS = Script(Path(__file__).with_name("attempts.lua").read_text())
ANSWERS = Counter(
    "saas_attempts",
    "Failure-limited attempts; source `process` means that Redis was away.",
    ["event", "source", "outcome"],
)


def before_attempt(key: str) -> float:
    """Seconds that the key is blocked for; 0 lets the attempt go on."""
    return _tell("before", key)


def record_failure(key: str) -> float:
    """Seconds > 0 if the key became blocked meanwhile: then answer only that, or parallel guesses learn more.

    The failure that starts a block still gets 0 and its own answer.
    """
    return _tell("failure", key)


def record_success(key: str) -> float:
    """Forget the failures. Seconds > 0 if the key became blocked meanwhile: then refuse the success."""
    return _tell("success", key)


def _tell(event: str, key: str) -> float:
    # The key may be an email address, which neither Redis nor a dump of it needs to know.
    digest = salted_hmac("saas.kit.attempts", key, algorithm="sha256").hexdigest()
    try:
        blocked, source = _tell_redis(event, digest), "redis"
    except RedisUnavailable:
        blocked, source = local_attempts.tell(event, digest), "process"
    ANSWERS.labels(event, source, "blocked" if blocked else "open").inc()
    return blocked


def _tell_redis(event: str, digest: str) -> float:
    tag = f"{{attempts:{digest}}}"
    keys = [f"{tag}:failures", f"{tag}:block"]
    times = [round(1000 * seconds) for seconds in (LOGIN_FAILURES.per, FIRST_BLOCK, LONGEST_BLOCK)]
    args: list[str | int] = [event, LOGIN_FAILURES.amount, *times]
    milliseconds = call(lambda redis: ATTEMPTS(redis, keys, args), name="attempts")
    return float(milliseconds) / 1000


@dataclass(slots=True)
class _Failures:
    count: int = 0
    blocked_until: float = 0.0
    forgotten_at: float = 0.0


class LocalAttempts:
    """What attempts.lua does, for one process: a bounded number of keys, the oldest forgotten first."""

    def __init__(self, *, max_keys: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, _Failures] = OrderedDict()

    def tell(self, event: str, key: str) -> float:
        with self._lock:
            now = self._clock()
            failures = self._keys.get(key, _Failures())
            if failures.blocked_until > now:
                return failures.blocked_until - now
            if event == "success":
                self._keys.pop(key, None)
            elif event == "failure":
                self._fail(key, failures if failures.forgotten_at > now else _Failures(), now)
            return 0.0

    def _fail(self, key: str, failures: _Failures, now: float) -> None:
        failures.count += 1
        excess = failures.count - LOGIN_FAILURES.amount
        block = min(LONGEST_BLOCK, FIRST_BLOCK * 2.0**excess) if excess >= 0 else 0.0
        failures.blocked_until = now + block
        failures.forgotten_at = now + block + LOGIN_FAILURES.per
        self._keys[key] = failures
        self._keys.move_to_end(key)
        if len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)


local_attempts = LocalAttempts()
