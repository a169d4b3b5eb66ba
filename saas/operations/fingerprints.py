"""What is in a database: each table's number of rows and checksum, the sequences, the migrations."""

from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from saas.kit.progress import Progress

TABLES = """
    SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind = 'r' AND relpersistence = 'p' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    ORDER BY 1, 2
"""
# A sum does not depend on the rows' order, and knows how often a row is there.
FINGERPRINT = """
    SELECT count(*), md5(concat_ws(':', sum(('x' || left(hash, 16))::bit(64)::bigint),
        sum(('x' || right(hash, 16))::bit(64)::bigint)))
    FROM (SELECT md5(whole_row::text) AS hash FROM {} AS whole_row) AS rows
"""
SEQUENCES = "SELECT schemaname || '.' || sequencename, coalesce(last_value, 0) FROM pg_sequences ORDER BY 1"
MIGRATIONS = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
# A value's text depends on these.
SPELLING = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}


class Fingerprint(NamedTuple):
    rows: int
    checksum: str


def tables(connection: psycopg.Connection[Any]) -> dict[str, Fingerprint]:
    """Of every table, read in the caller's transaction."""
    for name, value in SPELLING.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])  # noqa: SAAS002 - of SPELLING
    names = connection.execute(TABLES).fetchall()
    found = {}
    with Progress("tables read", len(names)) as progress:
        for schema, table in progress.over(names):
            query = sql.SQL(FINGERPRINT).format(sql.Identifier(schema, table))
            row = connection.execute(query).fetchone()
            assert row is not None  # noqa: S101 - for mypy: an aggregate is a row
            found[f"{schema}.{table}"] = Fingerprint(*row)
    return found


def sequences(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Where each of them is; they stand outside every transaction."""
    return dict(connection.execute(SEQUENCES).fetchall())


def migrations(connection: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute(MIGRATIONS)]
