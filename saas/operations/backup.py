"""A backup: a dump and its manifest, both of one snapshot, proven by a restore before they get their names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import IsolationLevel

from saas.kit import clock
from saas.operations import databases, fingerprints
from saas.operations.errors import OperationRefused
from saas.operations.manifests import FORMAT, Manifest, manifest_of, sha256
from saas.operations.programs import PRIVATE, connect_as_owner, run_program

SCRATCH = "_verified"


def back_up(directory: Path) -> tuple[Path, Manifest]:
    """Returns the dump's path. Whatever goes wrong, or is killed, leaves no file that looks whole."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{databases.own_name()}-{clock.now():%Y%m%dT%H%M%SZ}.dump"
    dump, unfinished = directory / name, directory / f".{name}.unfinished"
    if dump.exists():
        raise OperationRefused(f"{dump} is there already")
    with databases.only_operation() as superuser:
        # Of those that were killed.
        for left in directory.glob(f".{databases.own_name()}-*.unfinished"):
            left.unlink()
        try:
            manifest = _save(unfinished, name)
            _prove(superuser, unfinished, manifest)
            _publish(unfinished, dump, manifest)
        finally:
            unfinished.unlink(missing_ok=True)
            _draft(dump).unlink(missing_ok=True)
    return dump, manifest


def _save(path: Path, name: str) -> Manifest:
    database = databases.own_name()
    with _snapshot(database) as (owner, snapshot):
        major = owner.info.server_version // 10_000
        positions = fingerprints.sequences(owner)
        run_program(
            "pg_dump",
            "--format=custom",
            f"--snapshot={snapshot}",
            f"--file={path}",
            database=database,
            major=major,
        )
        return Manifest(
            format=FORMAT,
            made_at=clock.now().isoformat(timespec="seconds"),
            platform_version=settings.VERSION,
            database=database,
            server_version=major,
            dump=name,
            bytes=path.stat().st_size,
            sha256=sha256(path),
            tables=fingerprints.tables(owner),
            sequences=positions,
            migrations=fingerprints.migrations(owner),
        )


@contextmanager
def _snapshot(database: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A transaction of saas_owner, and the name under which pg_dump sees the very same rows."""
    with connect_as_owner(database) as owner:
        owner.isolation_level, owner.read_only = IsolationLevel.REPEATABLE_READ, True
        row = owner.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 - for mypy: a function's value is a row
        yield owner, row[0]


def _prove(superuser: psycopg.Connection[Any], dump: Path, manifest: Manifest) -> None:
    scratch = databases.beside(SCRATCH)
    databases.drop_scratch(superuser, scratch)
    try:
        databases.fill(scratch, dump, major=manifest.server_version)
        databases.verify(scratch, manifest)
        databases.require_whole_fence(scratch)
    finally:
        databases.drop(superuser, scratch)


def _publish(unfinished: Path, dump: Path, manifest: Manifest) -> None:
    """Both are written before either has its name. The manifest's comes last: without one, no dump is restored."""
    draft = _draft(dump)
    draft.touch(mode=PRIVATE)
    draft.write_text(manifest.to_json())
    _sync(draft)
    _sync(unfinished)
    unfinished.rename(dump)
    draft.rename(manifest_of(dump))
    _sync(dump.parent)


def _draft(dump: Path) -> Path:
    described = manifest_of(dump)
    return described.with_name(f".{described.name}.unfinished")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
