"""Asks PostgreSQL how it is, from a thread of its own: a frozen server holds up that thread alone."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from typing import Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

T = TypeVar("T")
logger = logging.getLogger(__name__)

APPLIED = "SELECT app, name FROM django_migrations"


class Probe(Generic[T]):
    """Runs one question at a time; whoever asks meanwhile shares its answer."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None

    def ask(self) -> Future[T]:
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                threading.Thread(target=self._run, args=[self._answer], name="probe", daemon=True).start()
            return self._answer

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self._question())
        except Exception as error:  # noqa: BLE001 - a thread's edge: whoever waits for the answer gets it
            answer.set_exception(error)


class DatabaseQuestion:
    """Whether the migrations on disk are in the database; raises DatabaseError if that can't be known."""

    def __init__(self) -> None:
        self._is_migrated = False

    @cached_property
    def _connection(self) -> BaseDatabaseWrapper:
        # Not a request's: the threads that ask take turns with it.
        connection = connections.create_connection(DEFAULT_DB_ALIAS)
        connection.inc_thread_sharing()
        return connection

    @cached_property
    def _on_disk(self) -> dict[tuple[str, str], Migration]:
        return MigrationLoader(None, ignore_no_migrations=True).disk_migrations

    def __call__(self) -> bool:
        connection = self._connection
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            # Disk does not change while a process lives, and nobody migrates backwards under it.
            if not self._is_migrated:
                self._is_migrated = not self._pending(cursor)
        return self._is_migrated

    def _pending(self, cursor: CursorWrapper) -> set[tuple[str, str]]:
        # Django's own executor would ask over a connection of this thread, which nobody closes.
        try:
            cursor.execute(APPLIED)
        except ProgrammingError as error:
            logger.warning("django_migrations can't be read: %s", error)
            return set(self._on_disk)
        applied = set(cursor.fetchall())
        return {
            key
            for key, migration in self._on_disk.items()
            if key not in applied and not (migration.replaces and applied.issuperset(migration.replaces))
        }


database = Probe(DatabaseQuestion())
