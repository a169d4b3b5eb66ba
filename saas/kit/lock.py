import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock

from saas.kit.redis import RedisUnavailable, call

logger = logging.getLogger(__name__)


class LockHeld(Exception):
    """Somebody else is doing it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"lock {name} is held")


class LockLost(Exception):
    """The work outlived its lock, so somebody else may have done it at the same time."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"lock {name} ran out after {seconds} s")


@contextmanager
def distributed_lock(name: str, *, seconds: float) -> Iterator[None]:
    """Hold a lock for at most `seconds`, for periodic work that only one worker may do.

    Does not wait: raises LockHeld, or RedisUnavailable. It saves double work; it does not replace a database
    constraint, since a Redis that fails over can forget it.
    """
    lock = call(lambda redis: _acquire(redis, name, seconds), name="lock")
    if lock is None:
        raise LockHeld(name)
    try:
        yield
    except BaseException:
        _release(lock, name)
        raise
    if not _release(lock, name):
        raise LockLost(name, seconds)


def _acquire(redis: Redis, name: str, seconds: float) -> Lock | None:
    lock = Lock(redis, f"lock:{name}", timeout=seconds, blocking=False)
    return lock if lock.acquire() else None


def _release(lock: Lock, name: str) -> bool:
    try:
        call(lambda _: lock.release(), name="unlock")
    except LockNotOwnedError:
        logger.warning("lock %s ran out before its work was done", name)
        return False
    except RedisUnavailable:
        # The work is done, and the lock runs out by itself.
        logger.warning("lock %s could not be released", name)
    return True
