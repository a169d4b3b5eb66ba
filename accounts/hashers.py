"""bcrypt behind a bulkhead: as many hashes at a time as there are cores, and never inside a transaction."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher
from django.db import connections

from saas.kit.errors import Unavailable

WAIT_SECONDS = 10
_slots = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))


class HashedInTransaction(RuntimeError):
    """Hashing takes a fifth of a second; a transaction held open that long holds its locks and its connection."""


class HashingBusy(Unavailable):
    """All cores hash already, and went on doing so for as long as anybody waits."""

    retry_after = WAIT_SECONDS


@contextmanager
def hashing_slot() -> Iterator[None]:
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        raise HashedInTransaction("a password was hashed with a database transaction open")
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise HashingBusy
    try:
        yield
    finally:
        _slots.release()


class BulkheadPasswordHasher(BCryptSHA256PasswordHasher):
    """Django's BCryptSHA256PasswordHasher (no truncation at 72 bytes), never inside a transaction."""

    rounds = settings.BCRYPT_ROUNDS

    def encode(self, password: str, salt: Any) -> str:
        with hashing_slot():
            return super().encode(password, salt)
