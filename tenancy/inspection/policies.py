"""Policies, compared with those that the models declare."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from tenancy.fence import Fence, RoleAccess
from tenancy.inspection.findings import Finding, declared_constraints

# Beside the models' policies: (table, policy) and what pg_policies says of it.
FURTHER_POLICIES = {
    ("procrastinate_jobs", "queue_of_worker"): [("PERMISSIVE", ["saas_worker"], "ALL", "true", "true")],
}
POLICIES = """
    SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies
    WHERE schemaname = 'public'
"""
TWIN_POLICY = "SELECT permissive, roles::text[], cmd, qual, with_check FROM pg_policies WHERE tablename = %s"


def examine_policies(cursor: Any) -> Iterator[Finding]:
    expected = {**_declared_policies(cursor), **FURTHER_POLICIES}
    cursor.execute(POLICIES)
    found = {(table, name): tuple(rest) for table, name, *rest in cursor.fetchall()}
    for (table, name), spellings in expected.items():
        if (table, name) not in found:
            yield Finding("policy_missing", table, f"policy {name} is missing")
        elif found[table, name] not in spellings:
            yield Finding("policy_altered", table, f"policy {name} is not the one that is declared")
    for table, name in found.keys() - expected.keys():
        yield Finding("policy_unknown", table, f"policy {name} is declared nowhere")


def _declared_policies(cursor: Any) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """The models' policies as this PostgreSQL writes them: made on a temporary twin of the table, and rolled back.

    It reads what it wrote itself otherwise, such as a list after IN, so that a restored policy has a second spelling.
    """
    declared = {}
    quote = cursor.db.ops.quote_name
    with transaction.atomic(using=cursor.db.alias):
        for number, (model, constraint) in enumerate(declared_constraints()):
            if isinstance(constraint, Fence | RoleAccess):
                table = model._meta.db_table
                twin = quote(f"isolation_twin_{number}")
                cursor.execute(f"CREATE TEMP TABLE {twin} (LIKE public.{quote(table)})")  # noqa: SAAS001 - quoted
                cursor.execute(constraint.policy_sql(twin))
                first = _policy_of(cursor, f"isolation_twin_{number}")
                _write_again(cursor, twin, quote(constraint.name), first)
                declared[table, constraint.name] = [first, _policy_of(cursor, f"isolation_twin_{number}")]
        transaction.set_rollback(True, using=cursor.db.alias)
    return declared


def _policy_of(cursor: Any, table: str) -> tuple[Any, ...]:
    cursor.execute(TWIN_POLICY, [table])
    return tuple(cursor.fetchone())


def _write_again(cursor: Any, table: str, name: str, policy: tuple[Any, ...]) -> None:
    using, check = policy[3:]
    cursor.execute(
        f"ALTER POLICY {name} ON {table}"  # noqa: SAAS001 - quoted names, and what PostgreSQL itself wrote
        + (f" USING ({using})" if using else "")
        + (f" WITH CHECK ({check})" if check else "")
    )
