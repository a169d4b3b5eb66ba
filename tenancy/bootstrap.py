"""Roles, database and grants, made by a superuser before the first migration; running it again changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

OWNER = "saas_owner"
LOOKUP = "saas_lookup"
RUNTIME_ROLES = ("saas_app", "saas_worker", "saas_support")
ROLES: dict[str, LiteralString] = {
    OWNER: "LOGIN BYPASSRLS",
    "saas_app": "LOGIN NOBYPASSRLS",
    "saas_worker": "LOGIN NOBYPASSRLS",
    "saas_support": "LOGIN NOBYPASSRLS",
    LOOKUP: "NOLOGIN NOBYPASSRLS",
}
NEVER = sql.SQL("NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION")
# Set on the role, since PgBouncer refuses options at connect.
TIMEOUTS = {"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"}
# Of roles in every database or in this one.
SETTINGS = """
    SELECT r.rolname, CASE s.setdatabase WHEN 0 THEN '*' ELSE current_database() END, s.setconfig
    FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
    WHERE r.rolname = ANY(%s)
    AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
FORBIDDEN_FUNCTIONS: tuple[LiteralString, ...] = (
    "lo_create(oid)",
    "lo_creat(integer)",
    "lo_from_bytea(oid, bytea)",
    "lo_open(oid, integer)",
    "lo_put(oid, bigint, bytea)",
    "lowrite(integer, bytea)",
    "pg_cancel_backend(integer)",
    "pg_terminate_backend(integer, bigint)",
)


class BootstrapRefused(Exception):
    """The role that bootstraps lacks a right; the message says which."""


@dataclass(frozen=True)
class Report:
    created_roles: list[str]
    created_database: bool


def bootstrap(superuser_url: str, *, database: str, passwords: Mapping[str, str]) -> Report:
    """Make the roles (with `passwords` by role name), the database and its grants. Raises BootstrapRefused."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        _require_rights(connection)
        created_roles = [role for role in ROLES if _make_role(connection, role, passwords.get(role))]
        connection.execute(sql.SQL("GRANT {} TO {}").format(_name(LOOKUP), _name(OWNER)))
        if connection.info.parameter_status("is_superuser") != "on":
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(_name(OWNER)))
    created_database = make_database(superuser_url, database)
    with psycopg.connect(superuser_url, dbname=database, autocommit=True) as connection:
        for role in ROLES:
            restore_settings(connection, role)
    return Report(created_roles, created_database)


def make_database(superuser_url: str, database: str) -> bool:
    """Make the database, unless it is there, and its grants, of roles that are there. Whether it was made."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if not exists:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), _name(OWNER))
            )
    with psycopg.connect(superuser_url, dbname=database, autocommit=True) as connection:
        _grant(connection, database)
    return not exists


def _require_rights(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(
        "SELECT rolsuper, rolcreaterole AND rolbypassrls AND rolcreatedb, rolname FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or row[0]:
        return
    if connection.info.server_version < 160000:
        raise BootstrapRefused(
            f"{row[2]!r} is not a superuser. On PostgreSQL 15 only a superuser can make a role with BYPASSRLS, which "
            "saas_owner needs: give a superuser's URL in BOOTSTRAP_DATABASE_URL"
        )
    if not row[1]:
        raise BootstrapRefused(
            f"{row[2]!r} needs CREATEROLE, CREATEDB and BYPASSRLS (or superuser) to make the platform's roles"
        )


def _make_role(connection: psycopg.Connection[Any], role: str, password: str | None) -> bool:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    is_superuser = connection.info.parameter_status("is_superuser") == "on"
    if not exists:
        connection.execute(sql.SQL("CREATE ROLE {}").format(_name(role)))
    attributes: sql.Composable = sql.SQL(ROLES[role])
    # PostgreSQL lets only a superuser name SUPERUSER or REPLICATION, even to deny them.
    if is_superuser:
        attributes = attributes + sql.SQL(" ") + NEVER
    connection.execute(sql.SQL("ALTER ROLE {} ").format(_name(role)) + attributes)
    if password:
        verifier = connection.pgconn.encrypt_password(
            password.encode(), role.encode(), b"scram-sha-256"
        ).decode()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(_name(role), sql.Literal(verifier)))
    return not exists


def restore_settings(connection: psycopg.Connection[Any], role: str) -> None:
    """Leave the role no setting but its own: what else it was given could outlive an intruder."""
    rows = connection.execute(SETTINGS, [[role]]).fetchall()
    if {row[1]: sorted(row[2]) for row in rows} == expected_settings(role):
        return
    with connection.transaction():
        for where in (sql.SQL(""), sql.SQL("IN DATABASE {}").format(sql.Identifier(connection.info.dbname))):
            connection.execute(sql.SQL("ALTER ROLE {} {} RESET ALL").format(_name(role), where))
        for setting, value in _timeouts(role).items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    _name(role), sql.Identifier(setting), sql.Literal(value)
                )
            )


def expected_settings(role: str) -> dict[str, list[str]]:
    """`name=value` of the role's settings, by database; `*` are all."""
    settings = sorted(f"{name}={value}" for name, value in _timeouts(role).items())
    return {"*": settings} if settings else {}


def _timeouts(role: str) -> dict[str, str]:
    return TIMEOUTS if role in RUNTIME_ROLES else {}


def _grant(connection: psycopg.Connection[Any], database: str) -> None:
    name, owner = sql.Identifier(database), _name(OWNER)
    everyone = sql.SQL(", ").join([_name(role) for role in ROLES])
    statements: tuple[sql.SQL | sql.Composed, ...] = (
        # With TEMP, injected SQL could plant a temporary table that the connection's next request writes into.
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, everyone),
        sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner),
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(everyone),
        # Large objects know no organization, and a session could end those of other requests.
        *(
            sql.SQL("REVOKE EXECUTE ON FUNCTION pg_catalog.{} FROM PUBLIC").format(sql.SQL(function))
            for function in FORBIDDEN_FUNCTIONS
        ),
        # What the owner makes is nobody's until a migration grants it.
        sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC").format(owner),
    )
    for statement in statements:
        connection.execute(statement)


def _name(role: str) -> sql.Identifier:
    return sql.Identifier(role)
