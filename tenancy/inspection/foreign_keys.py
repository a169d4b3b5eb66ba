"""Foreign keys between tenant tables, compared with those that the models declare, and their rows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tenancy.fence import TenantReference
from tenancy.inspection.findings import Finding, declared_constraints
from tenancy.inspection.tables import tenant_tables

FOREIGN_KEYS = """
    SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text,
        (SELECT array_agg(a.attname::text ORDER BY p.n) FROM unnest(k.conkey) WITH ORDINALITY p(attnum, n)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum),
        (SELECT array_agg(a.attname::text ORDER BY p.n) FROM unnest(k.confkey) WITH ORDINALITY p(attnum, n)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum),
        k.convalidated
    FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
"""


class Key(NamedTuple):
    name: str
    table: str
    target: str
    columns: list[str]
    target_columns: list[str]


def examine_foreign_keys(cursor: Any) -> Iterator[Finding]:
    tables = tenant_tables(cursor)
    cursor.execute(FOREIGN_KEYS)
    rows = [(Key(*row[:-1]), row[-1]) for row in cursor.fetchall()]
    for key, is_valid in rows:
        if key.table not in tables or key.target not in tables:
            continue
        if "organization_id" not in key.columns:
            yield Finding("foreign_key_plain", key.table, f"{key.name} ignores the organization")
        if not is_valid:
            yield Finding("foreign_key_not_valid", key.table, f"{key.name} is not validated")
        yield from _violations(cursor, key)
    found = {(key.table, key.name): key for key, _ in rows}
    for declared in _declared_keys():
        key_found = found.get((declared.table, declared.name))
        if key_found is None:
            yield Finding("foreign_key_missing", declared.table, f"composite key {declared.name} is missing")
        elif key_found != declared:
            yield Finding("foreign_key_altered", declared.table, f"{declared.name} is not the one declared")


def _declared_keys() -> Iterator[Key]:
    for model, constraint in declared_constraints():
        if isinstance(constraint, TenantReference):
            column = model._meta.get_field(constraint.field).column
            yield Key(
                constraint.name,
                model._meta.db_table,
                constraint.to,
                ["organization_id", column],
                ["organization_id", "id"],
            )


def _violations(cursor: Any, key: Key) -> Iterator[Finding]:
    # Validated by a role that row-level security hides rows from, a key is "valid" over anything.
    quote = cursor.db.ops.quote_name
    present = " AND ".join(f"a.{quote(column)} IS NOT NULL" for column in key.columns)
    pairs = zip(key.columns, key.target_columns, strict=True)
    joined = " AND ".join(f"a.{quote(one)} = b.{quote(other)}" for one, other in pairs)
    cursor.execute(
        f"SELECT count(*) FROM {quote(key.table)} a WHERE {present} "  # noqa: S608 - quoted names
        f"AND NOT EXISTS (SELECT FROM {quote(key.target)} b WHERE {joined})"
    )
    if count := cursor.fetchone()[0]:
        yield Finding("foreign_key_violated", key.table, f"{count} rows violate {key.name}")
