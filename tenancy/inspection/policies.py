"""Policies, compared with those that the models declare."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from tenancy.fence import Fence, RoleAccess
from tenancy.inspection.findings import Finding, declared_constraints

# Beside the models' policies: (table, policy) and what pg_policies says of it.
FURTHER_POLICIES = {
    ("procrastinate_jobs", "queue_of_worker"): ("PERMISSIVE", ["saas_worker"], "ALL", "true", "true"),
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
    for (table, name), policy in expected.items():
        if (table, name) not in found:
            yield Finding("policy_missing", table, f"policy {name} is missing")
        elif found[table, name] != policy:
            yield Finding("policy_altered", table, f"policy {name} is not the one that is declared")
    for table, name in found.keys() - expected.keys():
        yield Finding("policy_unknown", table, f"policy {name} is declared nowhere")


def _declared_policies(cursor: Any) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The models' policies as this PostgreSQL writes them: made on a temporary twin of the table, and rolled back."""
    declared = {}
    quote = cursor.db.ops.quote_name
    with transaction.atomic(using=cursor.db.alias):
        for number, (model, constraint) in enumerate(declared_constraints()):
            if isinstance(constraint, Fence | RoleAccess):
                table = model._meta.db_table
                twin = quote(f"isolation_twin_{number}")
                cursor.execute(f"CREATE TEMP TABLE {twin} (LIKE public.{quote(table)})")
                cursor.execute(constraint.policy_sql(twin))
                cursor.execute(TWIN_POLICY, [f"isolation_twin_{number}"])
                declared[table, constraint.name] = cursor.fetchone()
        transaction.set_rollback(True, using=cursor.db.alias)
    return declared
