"""Policies that are gone, made again as the models declare them."""

from django.db import connections, transaction

from tenancy.fence import Fence, RoleAccess
from tenancy.inspection.findings import declared_constraints

FOUND = "SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = %s AND policyname = %s"


def restore_policies(*, using: str = "owner") -> list[str]:
    """`DROP OWNED BY saas_app` drops its policies, and that role itself may say so. Returns what was made, as owner."""
    restored = []
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        for model, constraint in declared_constraints():
            if not isinstance(constraint, Fence | RoleAccess):
                continue
            table = model._meta.db_table
            cursor.execute(FOUND, [table, constraint.name])
            if cursor.fetchone() is None:
                cursor.execute(constraint.policy_sql(connections[using].ops.quote_name(table)))
                restored.append(f"{table}: policy {constraint.name} was missing, and is made again")
    return restored
