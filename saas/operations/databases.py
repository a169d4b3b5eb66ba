"""Databases beside the platform's own, made by the role of BOOTSTRAP_DATABASE_URL and filled as saas_owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql

from saas.kit import environment
from saas.operations.errors import OperationRefused
from saas.operations.manifests import Manifest, verify_content
from saas.operations.programs import connect_as_owner, run_program
from tenancy.bootstrap import make_database
from tenancy.inspection import inspect_isolation

LONGEST_NAME = 63
MADE_HERE = "scratch of a backup or restore"
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
# An entry of an archive's list that make_database() has done, and that only a superuser could do again.
NOT_RESTORED = (" SCHEMA - tenancy ", " ACL pg_catalog ")
# pg_restore gives functions to saas_lookup before it comes to the grants, and needs this for a while.
LEND = "CREATE SCHEMA tenancy; GRANT CREATE ON SCHEMA tenancy TO saas_lookup"
TAKE_BACK = "REVOKE CREATE ON SCHEMA tenancy FROM saas_lookup"


def own_name() -> str:
    if "owner" not in settings.DATABASES:
        raise OperationRefused("OWNER_DATABASE_URL is not set: only saas_owner sees every row")
    return str(settings.DATABASES["owner"]["NAME"])


def beside(suffix: str) -> str:
    """A database's name that tells whose it is."""
    return f"{own_name()[: LONGEST_NAME - len(suffix)]}{suffix}"


def superuser_url() -> str:
    """Never of the platform's own database, which nobody may be in while it is renamed."""
    url = environment.text("BOOTSTRAP_DATABASE_URL")
    if not url:
        raise OperationRefused(
            "BOOTSTRAP_DATABASE_URL is not set: saas_owner may not make a database, so give a superuser's URL"
        )
    parts = urlsplit(url)
    is_own = unquote(parts.path.removeprefix("/")) == own_name()
    return urlunsplit(parts._replace(path="/postgres")) if is_own else url


@contextmanager
def only_operation() -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection, while no other backup or restore runs. Raises OperationRefused if one does."""
    with psycopg.connect(superuser_url(), autocommit=True) as superuser:
        lock = "SELECT pg_try_advisory_lock(hashtext('saas operations'), hashtext(%s))"
        row = superuser.execute(lock, [own_name()]).fetchone()
        if row is None or not row[0]:
            raise OperationRefused(f"another backup or restore of {own_name()} is running")
        yield superuser


def exists(superuser: psycopg.Connection[Any], name: str) -> bool:
    return superuser.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount == 1


def drop(superuser: psycopg.Connection[Any], name: str) -> None:
    superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_scratch(superuser: psycopg.Connection[Any], name: str) -> None:
    """What a backup or restore that was killed has left. Raises OperationRefused if somebody else made it."""
    row = superuser.execute(COMMENT, [name]).fetchone()
    if row and row[0] != MADE_HERE:
        raise OperationRefused(f"the database {name} is in the way, and was made by somebody else: rename it")
    drop(superuser, name)


def mark(superuser: psycopg.Connection[Any], name: str, *, is_scratch: bool) -> None:
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
    superuser.execute(statement.format(sql.Identifier(name), sql.Literal(MADE_HERE if is_scratch else None)))


def fill(name: str, dump: Path, *, major: int) -> None:
    """Make the database, as a scratch, and restore the dump into it, as saas_owner."""
    make_database(superuser_url(), name)
    with psycopg.connect(superuser_url(), autocommit=True) as superuser:
        mark(superuser, name, is_scratch=True)
    with connect_as_owner(name, autocommit=True) as owner:
        owner.execute(LEND)
    with NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write(_entries(dump, name, major))
        chosen.flush()
        run_program(
            "pg_restore",
            "--exit-on-error",
            f"--use-list={chosen.name}",
            str(dump),
            database=name,
            major=major,
        )
    with connect_as_owner(name, autocommit=True) as owner:
        owner.execute(TAKE_BACK)


def _entries(dump: Path, name: str, major: int) -> str:
    lines = run_program("pg_restore", "--list", str(dump), database=name, major=major).splitlines(
        keepends=True
    )
    return "".join(line for line in lines if not any(entry in line for entry in NOT_RESTORED))


def verify(name: str, manifest: Manifest) -> None:
    """Raises OperationRefused unless the database holds what the manifest says, to the last row."""
    with connect_as_owner(name) as owner:
        verify_content(owner, manifest)


def require_whole_fence(name: str) -> None:
    """Raises OperationRefused with each hole that check_isolation finds."""
    with owner_alias(name) as alias:
        holes = inspect_isolation(using=alias)
    if holes:
        raise OperationRefused(f"the fence of {name} has holes: " + "; ".join(str(hole) for hole in holes))


@contextmanager
def owner_alias(name: str) -> Iterator[str]:
    """A Django alias for another database, as saas_owner."""
    alias = f"owner of {name}"
    connections.databases[alias] = {**connections["owner"].settings_dict, "NAME": name}
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.databases[alias]
