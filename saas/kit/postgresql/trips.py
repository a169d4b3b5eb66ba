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


@dataclass(frozen=True, slots=True)
class First:
    """A statement that goes before a query. If it is an error, PostgreSQL skips the query."""

    sql: str
    parameters: Sequence[str]


def begin_with(connection: Connection[Any], sql: str, parameters: Sequence[str]) -> Generator[Any, Any, None]:
    """BEGIN and a transaction's first statement."""
    pgconn: Any = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        pgconn.send_query_params(b"BEGIN", None)
        _send(pgconn, sql, parameters)
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
    yield from cursor._start_query(sql)
    query = cursor._convert_query(sql, parameters)
    prepare, name = cursor._get_prepared(query)
    pgconn: Any = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        _send(pgconn, first.sql, first.parameters)
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


def _send(pgconn: Any, sql: str, parameters: Sequence[str]) -> None:
    # Not prepared: psycopg deallocates all that is, its own or not, after each rollback.
    pgconn.send_query_params(_numbered(sql), [value.encode() for value in parameters])


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
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def _refuse_errors(connection: Connection[Any], results: list[Any]) -> None:
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result, connection.info.encoding)
