"""Examines a live database: is the fence whole? Reads catalogs and, for foreign keys, the rows themselves."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, transaction

from tenancy.fence import APP_ROLE, Fence, RoleAccess, TenantReference

RUNTIME_ROLES = [APP_ROLE, "saas_worker", "saas_support", "saas_lookup"]
# What runtime roles hold beside the fence and RoleAccess: (role, table, privilege).
QUEUE_TABLES = (
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
)
DML = ("SELECT", "INSERT", "UPDATE", "DELETE")
FURTHER_GRANTS = {
    (APP_ROLE, "django_migrations", "SELECT"),
    *(("saas_worker", table, privilege) for table in QUEUE_TABLES for privilege in DML),
}

# Beside the models' policies: (table, policy) and what pg_policies says of it.
FURTHER_POLICIES = {
    ("procrastinate_jobs", "queue_of_worker"): ("PERMISSIVE", ["saas_worker"], "ALL", "true", "true"),
}

ROLES = """
    SELECT r.rolname, r.rolsuper OR r.rolbypassrls,
        EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid),
        EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
    FROM pg_roles r WHERE r.rolname = ANY(%s)
"""
TABLES = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND (
        c.relname = 'tenancy_organization' OR EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
        )
    )
"""
POLICIES = """
    SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies
    WHERE schemaname = 'public'
"""
TWIN_POLICY = "SELECT permissive, roles::text[], cmd, qual, with_check FROM pg_policies WHERE tablename = %s"
FOREIGN_KEYS = """
    SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text, k.convalidated,
        (SELECT array_agg(a.attname::text ORDER BY p.n) FROM unnest(k.conkey) WITH ORDINALITY p(attnum, n)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum),
        (SELECT array_agg(a.attname::text ORDER BY p.n) FROM unnest(k.confkey) WITH ORDINALITY p(attnum, n)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum)
    FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
"""
TABLE_GRANTS = """
    SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
    WHERE table_schema IN ('public', 'tenancy') AND grantee = ANY(%s)
"""
COLUMN_GRANTS = """
    SELECT g.grantee, g.table_name, g.privilege_type, array_agg(g.column_name::text ORDER BY g.column_name)
    FROM information_schema.role_column_grants g
    WHERE g.table_schema IN ('public', 'tenancy') AND g.grantee = ANY(%s) AND NOT EXISTS (
        SELECT FROM information_schema.role_table_grants t WHERE t.grantee = g.grantee
        AND t.table_schema = g.table_schema AND t.table_name = g.table_name AND t.privilege_type = g.privilege_type
    ) GROUP BY 1, 2, 3
"""
VIEWS = """
    SELECT c.relname FROM pg_class c WHERE c.relkind IN ('v', 'm')
    AND c.relnamespace IN ('public'::regnamespace, 'tenancy'::regnamespace)
    AND NOT coalesce('security_invoker=true' = ANY(c.reloptions) OR 'security_invoker=on' = ANY(c.reloptions), false)
"""
DATABASE_RIGHTS = """
    SELECT r.name, has_database_privilege(r.name, current_database(), 'TEMP'),
        ARRAY(SELECT nspname::text FROM pg_namespace n
            WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'
            AND has_schema_privilege(r.name, n.oid, 'CREATE'))
    FROM unnest(%s::text[]) AS r(name)
"""
FUNCTIONS = """
    SELECT p.proname, coalesce(array_to_string(p.proconfig, ','), '') LIKE '%%search_path=%%',
        has_function_privilege('public', p.oid, 'EXECUTE')
    FROM pg_proc p WHERE p.pronamespace = 'tenancy'::regnamespace
"""


class Finding(NamedTuple):
    code: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.detail} [{self.code}]"


def inspect_isolation(*, using: str = "owner") -> list[Finding]:
    """Every hole in the fence of the database behind `using`; an empty list says that there is none."""
    with connections[using].cursor() as cursor:
        return [finding for examine in EXAMINATIONS for finding in examine(cursor)]


def _roles(cursor: Any) -> Iterator[Finding]:
    cursor.execute(ROLES, [RUNTIME_ROLES])
    for role, passes, owns, is_member in cursor.fetchall():
        if passes:
            yield Finding("role_bypasses", role, "is a superuser or has BYPASSRLS")
        if owns:
            yield Finding("role_owns", role, "owns tables")
        if is_member:
            yield Finding("role_is_member", role, "is a member of another role")


def _tables(cursor: Any) -> Iterator[Finding]:
    cursor.execute(TABLES)
    for table, enabled, forced in cursor.fetchall():
        if not enabled:
            yield Finding("rls_disabled", table, "row-level security is not enabled")
        if not forced:
            yield Finding("rls_not_forced", table, "row-level security is not forced on its owner")


def _policies(cursor: Any) -> Iterator[Finding]:
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
        for number, (table, constraint) in enumerate(_constraints()):
            if isinstance(constraint, Fence | RoleAccess):
                twin = quote(f"isolation_twin_{number}")
                cursor.execute(f"CREATE TEMP TABLE {twin} (LIKE public.{quote(table)})")
                cursor.execute(constraint.policy_sql(twin))
                cursor.execute(TWIN_POLICY, [f"isolation_twin_{number}"])
                declared[table, constraint.name] = cursor.fetchone()
        transaction.set_rollback(True, using=cursor.db.alias)
    return declared


def _foreign_keys(cursor: Any) -> Iterator[Finding]:
    cursor.execute(TABLES)
    tenant_tables = {row[0] for row in cursor.fetchall()} - {"tenancy_organization"}
    cursor.execute(FOREIGN_KEYS)
    keys = {row[0]: row[1:] for row in cursor.fetchall()}
    for name, (table, target, is_valid, columns, target_columns) in keys.items():
        if table not in tenant_tables or target not in tenant_tables:
            continue
        if "organization_id" not in columns:
            yield Finding("foreign_key_plain", table, f"{name} ignores the organization")
        if not is_valid:
            yield Finding("foreign_key_not_valid", table, f"{name} is not validated")
        yield from _violations(cursor, name, table, target, columns, target_columns)
    for table, constraint in _constraints():
        if isinstance(constraint, TenantReference) and constraint.name not in keys:
            yield Finding("foreign_key_missing", table, f"composite key {constraint.name} is missing")


def _violations(
    cursor: Any, name: str, table: str, target: str, columns: list[str], target_columns: list[str]
) -> Iterator[Finding]:
    # Validated by a role that row-level security hides rows from, a key is "valid" over anything.
    quote = cursor.db.ops.quote_name
    present = " AND ".join(f"a.{quote(column)} IS NOT NULL" for column in columns)
    pairs = zip(columns, target_columns, strict=True)
    joined = " AND ".join(f"a.{quote(one)} = b.{quote(other)}" for one, other in pairs)
    cursor.execute(
        f"SELECT count(*) FROM {quote(table)} a WHERE {present} "
        f"AND NOT EXISTS (SELECT FROM {quote(target)} b WHERE {joined})"
    )
    if count := cursor.fetchone()[0]:
        yield Finding("foreign_key_violated", table, f"{count} rows violate {name}")


def _grants(cursor: Any) -> Iterator[Finding]:
    allowed = set(FURTHER_GRANTS)
    allowed_columns = {}
    for table, constraint in _constraints():
        if isinstance(constraint, Fence):
            allowed |= {(APP_ROLE, table, privilege) for privilege in DML}
        elif isinstance(constraint, RoleAccess) and constraint.columns:
            allowed_columns[constraint.role, table, constraint.command] = sorted(constraint.columns)
        elif isinstance(constraint, RoleAccess):
            allowed.add((constraint.role, table, constraint.command))
    everybody = [*RUNTIME_ROLES, "PUBLIC"]
    cursor.execute(TABLE_GRANTS, [everybody])
    for role, table, privilege in cursor.fetchall():
        if (role, table, privilege) not in allowed:
            yield Finding("grant_too_wide", table, f"{role} holds {privilege}")
    cursor.execute(COLUMN_GRANTS, [everybody])
    for role, table, privilege, columns in cursor.fetchall():
        if wider := set(columns) - set(allowed_columns.get((role, table, privilege), ())):
            yield Finding("grant_too_wide", table, f"{role} holds {privilege} on {', '.join(sorted(wider))}")


def _views(cursor: Any) -> Iterator[Finding]:
    cursor.execute(VIEWS)
    for (view,) in cursor.fetchall():
        yield Finding("view_not_invoker", view, "runs with its owner's rights: set security_invoker")


def _database_rights(cursor: Any) -> Iterator[Finding]:
    cursor.execute(DATABASE_RIGHTS, [["public", *RUNTIME_ROLES]])
    for role, may_make_temporary, schemas in cursor.fetchall():
        if may_make_temporary:
            yield Finding("temp_allowed", role, "may make temporary tables")
        if schemas:
            yield Finding("create_allowed", role, f"may create in schema {', '.join(schemas)}")


def _functions(cursor: Any) -> Iterator[Finding]:
    cursor.execute(FUNCTIONS)
    for function, is_fixed, is_public in cursor.fetchall():
        if not is_fixed:
            yield Finding("function_search_path", f"tenancy.{function}", "has no fixed search_path")
        if is_public:
            yield Finding("function_public", f"tenancy.{function}", "everybody may execute it")


def _constraints() -> Iterator[tuple[str, Any]]:
    for model in apps.get_models():
        for constraint in model._meta.constraints:
            yield model._meta.db_table, constraint


EXAMINATIONS = (
    _roles,
    _tables,
    _policies,
    _foreign_keys,
    _grants,
    _views,
    _database_rights,
    _functions,
)
