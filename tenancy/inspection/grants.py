"""What the runtime roles, and with them everybody, may do, compared with what is declared."""

from collections.abc import Iterator
from typing import Any

from tenancy.bootstrap import FORBIDDEN_FUNCTIONS
from tenancy.fence import APP_ROLE, Fence, RoleAccess
from tenancy.inspection.findings import FENCED_ROLES, SYSTEM_SCHEMA, Finding, declared_constraints
from tenancy.inspection.functions import declared_functions

QUEUE = ("jobs", "events", "periodic_defers", "workers")
DML = ("SELECT", "INSERT", "UPDATE", "DELETE")
SEQUENCE = ("SELECT", "USAGE")
CODES = {"TEMPORARY": "temp_allowed", "CREATE": "create_allowed"}

# (place, holder, privilege)
Grant = tuple[str, str, str]

# The access control lists themselves: information_schema hides those on what other roles own. An object without a
# list has its kind's default. What a grant was at initdb or CREATE EXTENSION, PostgreSQL keeps in pg_init_privs.
GRANTS = f"""
    WITH held(place, class, object, part, acl) AS (
        SELECT nspname || '.' || c.relname, 'pg_class'::regclass, c.oid, 0, c.relacl
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname <> 'information_schema'
        UNION ALL
        SELECT nspname || '.' || c.relname || '.' || a.attname, 'pg_class'::regclass, c.oid, a.attnum, a.attacl
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE NOT a.attisdropped AND nspname <> 'information_schema'
        UNION ALL
        SELECT 'schema ' || nspname, 'pg_namespace'::regclass, oid, 0, nspacl FROM pg_namespace
        UNION ALL
        SELECT 'database', 'pg_database'::regclass, oid, 0, coalesce(datacl, acldefault('d', datdba))
            FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'function ' || p.oid::regprocedure, 'pg_proc'::regclass, p.oid, 0,
            coalesce(p.proacl, acldefault('f', p.proowner))
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE NOT {SYSTEM_SCHEMA} AND (p.prosecdef OR nspname = 'tenancy')
            OR {SYSTEM_SCHEMA} AND (p.proacl IS NOT NULL
                OR p.oid IN (SELECT name::regprocedure FROM unnest(%(forbidden)s::text[]) AS name))
        UNION ALL
        SELECT 'parameter ' || parname, 'pg_parameter_acl'::regclass, oid, 0, paracl FROM pg_parameter_acl
        UNION ALL
        SELECT 'server ' || srvname, 'pg_foreign_server'::regclass, oid, 0, srvacl FROM pg_foreign_server
        UNION ALL
        SELECT 'what ' || defaclrole::regrole || ' will make', 'pg_default_acl'::regclass, oid, 0, defaclacl
            FROM pg_default_acl
    )
    SELECT place, coalesce(rolname, 'PUBLIC'),
        privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM held, aclexplode(acl) AS given LEFT JOIN pg_roles r ON r.oid = given.grantee
    WHERE (given.grantee = 0 OR rolname = ANY(%(roles)s)) AND NOT EXISTS (
        SELECT FROM pg_init_privs i, aclexplode(i.initprivs) AS first
        WHERE i.classoid = class AND i.objoid = object AND i.objsubid = part
        AND first.grantee = given.grantee AND first.privilege_type = given.privilege_type
    ) ORDER BY 1, 2, 3
"""  # noqa: S608 - its one part is a constant of ours


def examine_grants(cursor: Any) -> Iterator[Finding]:
    allowed = {*_declared_grants(), *_further_grants()}
    cursor.execute(GRANTS, {"roles": FENCED_ROLES, "forbidden": list(FORBIDDEN_FUNCTIONS)})
    for place, holder, privilege in cursor.fetchall():
        if (place, holder, privilege) not in allowed:
            yield Finding(CODES.get(privilege, "grant_too_wide"), place, f"{holder} holds {privilege}")


def _declared_grants() -> Iterator[Grant]:
    for model, constraint in declared_constraints():
        table = f"public.{model._meta.db_table}"
        if isinstance(constraint, Fence):
            yield from ((table, APP_ROLE, privilege) for privilege in constraint.privileges)
        elif isinstance(constraint, RoleAccess):
            places = [f"{table}.{column}" for column in constraint.columns] or [table]
            yield from ((place, constraint.role, constraint.command) for place in places)
    for function in declared_functions():
        yield from (
            (f"function {function.signature}", role, "EXECUTE")
            for role in (function.owner, *function.executors)
        )


def _further_grants() -> Iterator[Grant]:
    """Of the roles themselves and of the queue, beside the models' and the functions'."""
    yield "schema information_schema", "PUBLIC", "USAGE"
    for role in FENCED_ROLES:
        yield "database", role, "CONNECT"
        yield from ((f"schema {schema}", role, "USAGE") for schema in ("public", "tenancy"))
    yield "public.django_migrations", APP_ROLE, "SELECT"
    for name in QUEUE:
        table = f"public.procrastinate_{name}"
        yield from ((table, "saas_worker", privilege) for privilege in DML)
        yield from ((f"{table}_id_seq", "saas_worker", privilege) for privilege in SEQUENCE)
