"""Django's backend for PostgreSQL, with a health check that costs no round trip, moments that are read faster, and
short ways for the statements that each request makes."""

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from prometheus_client import Counter
from psycopg import Connection, Cursor, OperationalError, pq
from psycopg.adapt import AdaptersMap

from saas.kit import clock
from saas.kit.clock import ServerClock
from saas.kit.postgresql import trips

CONNECT_FAILURES = Counter(
    "saas_database_connect_failures",
    "Connections that PostgreSQL or PgBouncer refused, or that came too late.",
)
SILENCES = Counter(
    "saas_database_silences", "Connections given up because PostgreSQL owed an answer for too long."
)

SILENCE_SECONDS = 17.0
WAIT_INTERVAL = 0.1
# Whose statements take as long as they take.
OWNER_ALIAS = "owner"


class MomentLoader(BaseTzLoader):
    """Reads a `timestamptz` as Python does; Django's takes a regular expression and seven times as long."""

    timezone = UTC

    def load(self, data: Any) -> datetime:
        try:
            return datetime.fromisoformat(bytes(data).decode()).astimezone(UTC)
        except ValueError:  # `infinity`, a year before Christ: Django's has an error that says so.
            return super().load(data)  # type: ignore[no-any-return, no-untyped-call]


class AnsweredConnection(Connection[Any]):
    """Gives up on a server that says nothing for longer than a statement may take (tenancy.bootstrap.TIMEOUTS).

    TCP does not notice: a frozen server's kernel acknowledges what is sent.
    """

    def wait(self, gen: Any, interval: float = WAIT_INTERVAL, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, SILENCE_SECONDS if timeout is None else timeout)
        except OperationalError:
            # An answer is still to come: the next statement would take it for its own.
            if self.info.transaction_status == pq.TransactionStatus.ACTIVE:
                SILENCES.inc()
                self.pgconn.finish()
            raise


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        if self.timezone is UTC:
            parameters["context"] = AdaptersMap(parameters["context"])
            parameters["context"].register_loader("timestamptz", MomentLoader)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            connection = super().get_new_connection(conn_params)
        except OperationalError:
            CONNECT_FAILURES.inc()
            raise
        if self.alias != OWNER_ALIAS:
            # Django has no way to say which class it is to make.
            connection.__class__ = AnsweredConnection
        return connection

    def is_usable(self) -> bool:
        """Whether a kept connection still works; Django asks before a request's first query.

        A server that closed the connection, or said goodbye on it, left something to read: then it is tried
        with a query. A line that was cut in silence shows only in a timeout, whoever asks.
        """
        connection: Any = self.connection
        if connection is None or connection.closed:
            return False
        return not _has_something_to_read(connection.fileno()) or super().is_usable()

    def execute_first(self, sql: str, parameters: Sequence[str]) -> None:
        """Execute a transaction's first statement together with its BEGIN, in one round trip instead of two.

        Outside a transaction, in one that has begun, or while somebody watches the queries, it is a statement
        like others, but for that it is never prepared.
        """
        if not self._is_at_start() or self._is_watched():
            with self.cursor() as cursor, self._unprepared():
                cursor.execute(sql, parameters)
            return
        with self.wrap_database_errors:
            self.connection.wait(trips.begin_with(self.connection, sql, parameters))

    @contextmanager
    def _unprepared(self) -> Iterator[None]:
        threshold, self.connection.prepare_threshold = self.connection.prepare_threshold, None
        try:
            yield
        finally:
            self.connection.prepare_threshold = threshold

    def learn_time(self, moment: datetime) -> None:
        """What the server's clock says now."""
        self.connection.server_clock = ServerClock()
        self.connection.server_clock.tell(moment)

    def server_time(self) -> datetime:
        """The server's clock, as it was when the connection was opened and has gone on since.

        Ours where that is ahead: a machine that slept counts no time meanwhile. The later one never ends a context early.
        """
        self.ensure_connection()
        known: ServerClock | None = getattr(self.connection, "server_clock", None)
        return max(known.now(), clock.now()) if known else clock.now()

    def fetch_one(self, sql: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row of a query, by a cursor that the connection keeps; Django makes two objects for each query."""
        if self._is_watched():
            with self.cursor() as watched:
                watched.execute(sql, parameters)
                row: tuple[Any, ...] | None = watched.fetchone()
                return row
        self.close_if_health_check_failed()
        self.ensure_connection()
        self.validate_no_broken_transaction()
        with self.wrap_database_errors:
            cursor = self._kept_cursor()
            cursor.execute(sql, parameters)
            return cursor.fetchone()

    def fetch_one_after(
        self, first: trips.First, sql: str, parameters: Sequence[Any]
    ) -> tuple[Any, ...] | None:
        """The same after a statement that is in force for this query alone: both in one round trip.

        They are a transaction of their own, so none may be open.
        """
        self.validate_no_atomic_block()
        if self._is_watched():
            with transaction.atomic(using=self.alias):
                self.execute_first(first.sql, first.parameters)
                return self.fetch_one(sql, parameters)
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor = self._kept_cursor()
            self.connection.wait(trips.query_after(cursor, first, sql, parameters))
            return cursor.fetchone()

    def _is_at_start(self) -> bool:
        """Whether psycopg would send a plain BEGIN before the next statement."""
        connection = self.connection
        return (
            self.in_atomic_block
            and not self.needs_rollback
            and connection is not None
            and not connection.autocommit
            and connection.info.transaction_status == pq.TransactionStatus.IDLE
            and connection.isolation_level is None
            and connection.read_only is None
            and connection.deferrable is None
        )

    def _is_watched(self) -> bool:
        return bool(self.queries_logged or self.execute_wrappers)

    def _kept_cursor(self) -> Cursor[Any]:
        # Kept on the connection itself, since a pool hands the same one to many wrappers.
        cursor: Cursor[Any] | None = getattr(self.connection, "kept_cursor", None)
        if cursor is None:
            cursor = self.connection.kept_cursor = self.create_cursor()
        return cursor


def _has_something_to_read(descriptor: int) -> bool:
    # Not select(): it refuses descriptors over 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
