"""The runtime roles: what they are, own and belong to."""

from collections.abc import Iterator
from typing import Any

from tenancy.bootstrap import LOOKUP
from tenancy.inspection.findings import FENCED_ROLES, Finding

# Of functions, saas_lookup owns those that are compared with what is declared.
ROLES = """
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
    cursor.execute(ROLES, {"roles": FENCED_ROLES, "lookup": LOOKUP})
    for role, passes, attributes, owns, is_member in cursor.fetchall():
        if passes:
            yield Finding("role_bypasses", role, "is a superuser or has BYPASSRLS")
        if attributes:
            yield Finding("role_too_strong", role, f"has {', '.join(attributes)}")
        if owns:
            yield Finding("role_owns", role, "owns something")
        if is_member:
            yield Finding("role_is_member", role, "is a member of another role")
