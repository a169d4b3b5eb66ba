"""The runtime roles: what they are, own and belong to."""

from collections.abc import Iterator
from typing import Any

from tenancy.bootstrap import LOOKUP, ROLES, SETTINGS, expected_settings
from tenancy.inspection.findings import FENCED_ROLES, Finding

# Of functions, saas_lookup owns those that are compared with what is declared.
ATTRIBUTES = """
    SELECT r.rolname, r.rolsuper OR r.rolbypassrls,
        array_remove(ARRAY[
            CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
            CASE WHEN r.rolreplication THEN 'REPLICATION' END,
            CASE WHEN r.rolcanlogin AND r.rolname = %(lookup)s THEN 'LOGIN' END
        ], NULL),
        EXISTS (
            SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
            AND d.deptype = 'o' AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            AND NOT (r.rolname = %(lookup)s AND d.classid = 'pg_proc'::regclass)
        ),
        EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
    FROM pg_roles r WHERE r.rolname = ANY(%(roles)s) ORDER BY 1
"""


def examine_roles(cursor: Any) -> Iterator[Finding]:
    cursor.execute(ATTRIBUTES, {"roles": FENCED_ROLES, "lookup": LOOKUP})
    for role, passes, attributes, owns, is_member in cursor.fetchall():
        if passes:
            yield Finding("role_bypasses", role, "is a superuser or has BYPASSRLS")
        if attributes:
            yield Finding("role_too_strong", role, f"has {', '.join(attributes)}")
        if owns:
            yield Finding("role_owns", role, "owns something")
        if is_member:
            yield Finding("role_is_member", role, "is a member of another role")
    yield from _settings(cursor)


def _settings(cursor: Any) -> Iterator[Finding]:
    cursor.execute(SETTINGS, [list(ROLES)])
    found: dict[str, dict[str, list[str]]] = {role: {} for role in ROLES}
    for role, database, settings in cursor.fetchall():
        found[role][database] = sorted(settings)
    for role, settings in found.items():
        if settings != expected_settings(role):
            yield Finding(
                "role_settings", role, f"has other settings than bootstrap_database gives it: {settings}"
            )
