"""bcrypt behind a bulkhead: as many hashes at a time as there are cores, below everything else, and never inside a
transaction.

A request that hashes waits with a thread of the server, so no more than three quarters of these may do so. Where all
places are taken half of the other threads may wait for one, and for a second only; who is not among them is told to come
again at once. The rest is for requests that hash nothing, however many log-ins come.
"""

import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher
from django.db import connections

from saas.kit.errors import Unavailable

# For a place; that many come free in it as a burst of people needs.
PLACE_SECONDS = 1
# For a core, once there is a place; then for the hash itself.
CORE_SECONDS = 10
HASH_SECONDS = 10
# Below requests, which take a hundredth of the time: they need not wait until a hash is through.
NICENESS = 5


def _step_back() -> None:
    # Linux alone has a priority for each thread; elsewhere this would be the whole process's.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_executor = ThreadPoolExecutor(max(1, os.cpu_count() or 1), "hashing", initializer=_step_back)
_places = threading.BoundedSemaphore(max(1, settings.WEB_THREADS * 3 // 4))
_waiting = threading.BoundedSemaphore(settings.WEB_THREADS // 8)


def _take_place() -> None:
    """Raises HashingBusy."""
    if _places.acquire(blocking=False):
        return
    if not _waiting.acquire(blocking=False):
        raise HashingBusy
    try:
        if not _places.acquire(timeout=PLACE_SECONDS):
            raise HashingBusy
    finally:
        _waiting.release()


def _end_of(hashed: Future[str]) -> str:
    """What has begun is worth waiting for: in a storm all that is hashed would else be for those who have left."""
    try:
        return hashed.result(HASH_SECONDS)
    except TimeoutError as error:
        raise HashingBusy from error


class HashedInTransaction(RuntimeError):
    """Hashing takes a fifth of a second; a transaction held open that long holds its locks and its connection."""


class HashingBusy(Unavailable):
    """As many wait for a hash as may."""

    retry_after = 2


class BulkheadPasswordHasher(BCryptSHA256PasswordHasher):
    """Django's BCryptSHA256PasswordHasher (no truncation at 72 bytes), never inside a transaction."""

    rounds = settings.BCRYPT_ROUNDS

    def encode(self, password: str, salt: Any) -> str:
        """Raises HashedInTransaction, and HashingBusy."""
        if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
            raise HashedInTransaction("a password was hashed with a database transaction open")
        _take_place()
        hashed = _executor.submit(super().encode, password, salt)
        try:
            return hashed.result(CORE_SECONDS)
        except TimeoutError as error:
            if hashed.cancel():
                raise HashingBusy from error
            return _end_of(hashed)
        finally:
            _places.release()
