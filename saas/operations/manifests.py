"""What a backup says of itself: a JSON file beside the dump, written last."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from saas.operations import fingerprints
from saas.operations.errors import OperationRefused
from saas.operations.fingerprints import Fingerprint

FORMAT = 1
SUFFIX = ".manifest.json"


@dataclass(frozen=True)
class Manifest:
    format: int
    made_at: str
    platform_version: str
    database: str
    server_version: int
    dump: str
    bytes: int
    sha256: str
    tables: dict[str, Fingerprint]
    sequences: dict[str, int]
    migrations: list[str]

    def to_json(self) -> str:
        return json.dumps(
            {**asdict(self), "tables": {name: each._asdict() for name, each in self.tables.items()}}, indent=1
        )

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


def manifest_of(dump: Path) -> Path:
    return dump.with_name(dump.name + SUFFIX)


def read_manifest(dump: Path) -> Manifest:
    """The manifest of a dump that is the very one it was written for. Raises OperationRefused."""
    manifest = _read(dump)
    size = dump.stat().st_size
    if size != manifest.bytes:
        raise OperationRefused(f"{dump} has {size} bytes, its manifest says {manifest.bytes}: it is spoiled")
    if sha256(dump) != manifest.sha256:
        raise OperationRefused(
            f"{dump} is not what its manifest's sha256 says: it is spoiled, or another one's"
        )
    return manifest


def _read(dump: Path) -> Manifest:
    path = manifest_of(dump)
    if not dump.is_file():
        raise OperationRefused(f"there is no dump {dump}")
    if not path.is_file():
        raise OperationRefused(f"{dump} has no manifest {path.name} beside it: it can't be verified")
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise OperationRefused(f"{path} has format {content['format']}, this platform reads {FORMAT}")
        tables = {name: Fingerprint(**each) for name, each in content.pop("tables").items()}
        return Manifest(**content, tables=tables)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperationRefused(f"{path} is no manifest that can be read: {error}") from error


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_content(connection: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Compare every table of a restored database. Raises OperationRefused, naming those that differ."""
    wrong = list(_differences(connection, manifest))
    if wrong:
        raise OperationRefused("what was restored is not what was saved: " + "; ".join(wrong))


def _differences(connection: psycopg.Connection[Any], manifest: Manifest) -> list[str]:
    found = fingerprints.tables(connection)
    wrong = []
    for name in sorted(found.keys() | manifest.tables.keys()):
        if found.get(name) != manifest.tables.get(name):
            wrong.append(f"{name} has {found.get(name)}, not {manifest.tables.get(name)}")
    at = fingerprints.sequences(connection)
    # One may have moved on between the snapshot and its being saved, but never back.
    wrong += [
        f"sequence {name} is at {at.get(name)}, not {value}"
        for name, value in manifest.sequences.items()
        if at.get(name, -1) < value
    ]
    if fingerprints.migrations(connection) != manifest.migrations:
        wrong.append("other migrations are applied")
    return wrong
