"""The way to Redis: connection settings, one circuit breaker a process, scripts and the pool's state."""

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from django_redis import get_redis_connection
from django_redis.pool import ConnectionFactory, SentinelConnectionFactory
from prometheus_client import Counter, Gauge
from redis import Redis, exceptions
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import BlockingConnectionPool, ConnectionPool
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from saas.kit.breaker import Breaker, CircuitOpen

T = TypeVar("T")
logger = logging.getLogger(__name__)

SOCKET_TIMEOUT = 0.2
POOL_TIMEOUT = 0.1
HEALTH_CHECK_INTERVAL = 30
RETRIES = 3
BACKOFF = ExponentialBackoff(cap=0.05, base=0.005)

CALLS = Counter("saas_redis_calls", "Calls to Redis; `refused` ones were never sent.", ["call", "result"])
# Looked up once; labels() goes through them anew each time.
_calls = cache(CALLS.labels)
POOL_FAILURES = Counter("saas_redis_pool_failures", "Calls that found no free connection in the pool.")
BREAKER_OPEN = Gauge(
    "saas_redis_breaker_open", "Processes that take Redis for dead or doubt it.", multiprocess_mode="livesum"
)

# The server is there but can't do what it is for: a replica after a failover, no memory, a failed dump.
OUTAGES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    OSError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.NoScriptError,
    exceptions.NoPermissionError,
    exceptions.ClusterDownError,
    exceptions.AskError,
    exceptions.TryAgainError,
    exceptions.ExecAbortError,
)
# Replies of the same kind that redis-py gives no class of their own.
OUTAGE_CODES = ("MISCONF", "BUSY", "NOREPLICAS")


class RedisUnavailable(Exception):
    """Redis did not do what it was asked, or is taken for dead. What had been sent may have taken effect."""

    code = "unavailable"
    status = 503


def _report(is_closed: bool) -> None:
    logger.warning("Redis answers again" if is_closed else "Redis fails; calls to it are held back")
    BREAKER_OPEN.set(not is_closed)


breaker = Breaker(on_change=_report)


def call(operation: Callable[[Redis], T], *, name: str, insist: bool = False) -> T:
    """Run an operation on Redis under the breaker; `name` is its label in the metrics.

    Raises RedisUnavailable, at once while the breaker is open, unless it must `insist`: what other processes have
    to learn is sent even so, and takes as long as the timeouts say. Any other error is a fault in the operation.
    """
    try:
        is_probe = breaker.enter()
    except CircuitOpen as error:
        if not insist:
            CALLS.labels(name, "refused").inc()
            raise RedisUnavailable(name) from error
        is_probe = False
    answered = None
    try:
        result = operation(get_redis_connection("default"))
        answered = True
    except (exceptions.RedisError, OSError) as error:
        answered = not is_outage(error)
        if answered:
            raise
        raise _unavailable(name, error) from error
    finally:
        breaker.leave(is_probe=is_probe, answered=answered)
    _calls(name, "answered").inc()
    return result


def is_outage(error: Exception) -> bool:
    return isinstance(error, OUTAGES) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(OUTAGE_CODES)
    )


def _unavailable(name: str, error: Exception) -> RedisUnavailable:
    CALLS.labels(name, "failed").inc()
    # The blocking pool raises a bare ConnectionError; only its context tells it from a broken connection.
    if isinstance(error.__context__, queue.Empty):
        POOL_FAILURES.inc()
    return RedisUnavailable(f"{name}: {type(error).__name__}")


class Script:
    """A Lua script put together from its parts, sent by its hash."""

    def __init__(self, *parts: str) -> None:
        self.text = "\n".join(parts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, redis: Redis, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        try:
            return redis.evalsha(self.sha, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            # EVAL also stores the script, and can't miss again when Redis restarts in between.
            return redis.eval(self.text, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    max_connections: int
    in_use: int
    available: int
    utilization_percent: float


def pool_status() -> PoolStatus:
    """This process's connections. They are counted here, so a dead Redis does not matter."""
    pool = cast(BlockingConnectionPool, get_redis_connection("default").connection_pool)
    # The blocking pool keeps a token in its queue for every connection that nobody holds.
    available = pool.pool.qsize()
    in_use = pool.max_connections - available
    return PoolStatus(pool.max_connections, in_use, available, round(100 * in_use / pool.max_connections, 1))


def ping() -> float:
    """Seconds that Redis takes to answer; raises RedisUnavailable."""
    started_at = time.perf_counter()
    call(lambda redis: redis.ping(), name="ping")
    return time.perf_counter() - started_at


class _SharedPool:
    """django-redis makes its pools without a lock, so two threads' first calls could make one each."""

    _creating = threading.Lock()

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        with self._creating:
            pool: ConnectionPool = super().get_or_create_connection_pool(params)  # type: ignore[misc]
            return pool


class PoolFactory(_SharedPool, ConnectionFactory):
    pass


class SentinelPoolFactory(_SharedPool, SentinelConnectionFactory):
    pass


class BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    pass


def cache_settings(
    url: str,
    *,
    max_connections: int,
    socket_timeout: float = SOCKET_TIMEOUT,
    pool_timeout: float = POOL_TIMEOUT,
) -> dict[str, Any]:
    """The CACHES["default"] entry for `redis://`, `rediss://`, `unix://` and Sentinel URLs.

    Sentinel: `redis+sentinel://[user:password@]host:port,host:port/master/db`, or `rediss+sentinel://`;
    user and password are the master's. `max_connections` is one process's share; all times are in seconds.
    """
    pool = {
        "max_connections": max_connections,
        "timeout": pool_timeout,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": socket_timeout,
        "socket_keepalive": True,
        "health_check_interval": HEALTH_CHECK_INTERVAL,
        # A timeout is not tried again: it would multiply the wait, and could count one request twice.
        "retry": Retry(BACKOFF, RETRIES, supported_errors=(exceptions.ConnectionError,)),
        # Both only save round trips on each new connection.
        "protocol": 2,
        "driver_info": None,
    }
    if "+sentinel" in urlsplit(url).scheme:
        return _entry(**_sentinel(url, pool, socket_timeout))
    return _entry(
        url,
        CONNECTION_FACTORY="saas.kit.redis.PoolFactory",
        CONNECTION_POOL_CLASS="redis.connection.BlockingConnectionPool",
        CONNECTION_POOL_KWARGS=pool,
    )


def _entry(location: str, **options: Any) -> dict[str, Any]:
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options}


def _sentinel(url: str, pool: dict[str, Any], socket_timeout: float) -> dict[str, Any]:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    return {
        # The pool reads the scheme as a connection class of its own, so TLS is said by `ssl` instead.
        "location": f"redis://{master}/{database or 0}",
        "CONNECTION_FACTORY": "saas.kit.redis.SentinelPoolFactory",
        "CONNECTION_POOL_CLASS": "saas.kit.redis.BlockingSentinelPool",
        "CONNECTION_POOL_KWARGS": pool | {"ssl": parts.scheme.startswith("rediss")},
        "USERNAME": unquote(username) or None,
        "PASSWORD": unquote(password) or None,
        "SENTINELS": [_address(host) for host in hosts.split(",")],
        # All Sentinels are asked in turn, and in a partition all of them time out.
        "SENTINEL_KWARGS": {
            "socket_timeout": socket_timeout / 2,
            "socket_connect_timeout": socket_timeout / 2,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
            "protocol": 2,
        },
    }


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    if not name or not port.isdigit():
        raise ValueError(f"a Sentinel is given as host:port, not {host!r}")
    return name.strip("[]"), int(port)
