"""Several statements in one round trip, by libpq's pipeline: psycopg's own costs more than the trip that it saves
(docs/performance.md). Each is a generator for a connection's `wait`."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from psycopg import Connection, Cursor, errors, generators, pq

# What psycopg's cursors know of prepared statements, and tell nobody: this asks them, so that both use the same ones.
from psycopg._preparing import Prepare

PIPELINE_SYNC = pq.ExecStatus.PIPELINE_SYNC
COPIES = (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH)
# A connection that is closed is UNKNOWN: what is sent on it is an error that says so.
OUTSIDE_A_TRANSACTION = (pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class First:
    """A statement that goes before a query. If it is an error, PostgreSQL skips the query."""

    sql: str
    parameters: Sequence[str]


def begin_with(connection: Connection[Any], sql: str, parameters: Sequence[str]) -> Generator[Any, Any, None]:
    """BEGIN and a transaction's first statement."""
    encoded = _encoded(parameters)
    pgconn: Any = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        pgconn.send_query_params(b"BEGIN", None)
        _send(pgconn, sql, encoded)
        results = yield from _results(pgconn)
    finally:
        _leave_pipeline(pgconn)
    _refuse_errors(connection, results)


def query_after(
    cursor: Cursor[Any], first: First, sql: str, parameters: Sequence[Any]
) -> Generator[Any, Any, None]:
    """A statement and a query in a transaction of their own; the cursor then has the query's rows.

    Without BEGIN and COMMIT: statements between two syncs are one transaction (PostgreSQL's manual, 54.2.4).
    """
    connection: Any = cursor.connection
    encoded = _encoded(first.parameters)
    # Without autocommit this begins a transaction.
    yield from cursor._start_query(sql)
    pgconn: Any = connection.pgconn
    if pgconn.transaction_status not in OUTSIDE_A_TRANSACTION:
        raise errors.ActiveSqlTransaction("What goes first would stay in force in the open transaction.")
    query = cursor._convert_query(sql, parameters)
    prepare, name = cursor._get_prepared(query)
    pgconn.enter_pipeline_mode()
    try:
        _send(pgconn, first.sql, encoded)
        if prepare is Prepare.SHOULD:
            pgconn.send_prepare(name, query.query, query.types)
        if prepare is Prepare.NO:
            pgconn.send_query_params(query.query, query.params, query.types, query.formats)
        else:
            pgconn.send_query_prepared(name, query.params, query.formats)
        results = yield from _results(pgconn)
    finally:
        _leave_pipeline(pgconn)
    try:
        _refuse_errors(connection, results)
    except errors.Error:
        # As after a rollback, which a transaction without BEGIN does not need: a plan may be what failed.
        connection._prepared.clear()
        # At once: after the next query it would also drop what that one prepares.
        yield from connection._prepared.maintain_gen(connection)
        raise
    if (key := connection._prepared.maybe_add_to_cache(query, prepare, name)) is not None:
        connection._prepared.validate(key, prepare, name, results[-1:])
    cursor._set_results(results[-1:])
    cursor._last_query = sql
    yield from connection._prepared.maintain_gen(connection)


def _leave_pipeline(pgconn: Any) -> None:
    # A line that broke has no mode to leave.
    if pgconn.status == pq.ConnStatus.OK:
        pgconn.exit_pipeline_mode()


def _encoded(parameters: Sequence[str]) -> list[bytes]:
    """Before anything is sent: an error in a pipeline that has begun ends the connection."""
    encoded = [value.encode() for value in parameters]
    for value in encoded:
        if b"\0" in value:  # libpq would send what is before it.
            raise errors.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return encoded


def _send(pgconn: Any, sql: str, parameters: list[bytes]) -> None:
    # Not prepared: psycopg deallocates all that is, its own or not, after each rollback.
    pgconn.send_query_params(_numbered(sql), parameters)


@cache
def _numbered(sql: str) -> bytes:
    """A statement with its parameters as PostgreSQL itself writes them ($1)."""
    numbers = count(1)
    return re.sub("%s", lambda match: f"${next(numbers)}", sql).encode()


def _results(pgconn: Any) -> Generator[Any, Any, list[Any]]:
    """Of all that was sent."""
    pgconn.pipeline_sync()
    yield from generators.send(pgconn)
    results: list[Any] = []
    while True:
        result = yield from generators.fetch(pgconn)
        if result is None:  # It stands between two statements.
            continue
        status = result.status
        if status == PIPELINE_SYNC:
            return results
        if status in COPIES:  # libpq would say so again for ever, and no pipeline gets out of it.
            pgconn.finish()
            raise errors.NotSupportedError("COPY cannot be used in pipeline mode")
        results.append(result)


def _refuse_errors(connection: Connection[Any], results: list[Any]) -> None:
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result, connection.info.encoding)
