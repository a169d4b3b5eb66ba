"""The stack that runs in this clone: at most one, and others can ask for its addresses."""

import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from saas.launcher.environment import LOCAL, write_private
from saas.launcher.errors import LauncherError

SHOWN = (
    "DATABASE_URL",
    "OWNER_DATABASE_URL",
    "WORKER_DATABASE_URL",
    "SUPPORT_DATABASE_URL",
    "REDIS_URL",
    "STRIPE_WEBHOOK_SECRET",
    "PORT",
)
# A URL holds none of them, so that `export $(make -s env)` needs no quotes.
NEEDS_QUOTES = set(" \t\n\"'\\$`&;|<>()*[]{}!#~")


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold this clone's lock, which the kernel frees however we die. Raises LauncherError if it is taken."""
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    lock_file = directory / "lock"
    with lock_file.open("a") as lock:
        if not try_lock(lock.fileno()):
            raise LauncherError(
                f"`make run` is running in this clone already (process {lock_file.read_text()}): stop it. "
                "A second one needs a clone of its own."
            )
        lock.truncate(0)
        print(os.getpid(), end="", file=lock, flush=True)
        yield


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_environment(directory: Path, environment: Mapping[str, str]) -> None:
    write_private(directory / "stack.json", json.dumps(dict(environment)))


def forget_environment(directory: Path) -> None:
    (directory / "stack.json").unlink(missing_ok=True)


def running_environment(directory: Path) -> dict[str, str]:
    """The variables that the running stack was given. Raises LauncherError if nothing runs."""
    file = directory / "stack.json"
    if not (file.exists() and _is_locked(directory / "lock")):
        raise LauncherError("Nothing is running in this clone: `make run` starts it.")
    environment: dict[str, str] = json.loads(file.read_text())
    return environment


def as_shell_lines(environment: Mapping[str, str]) -> str:
    values = {name: environment.get(name, "") for name in SHOWN}
    return "\n".join(
        f"{name}={shlex.quote(value) if NEEDS_QUOTES & set(value) else value}"
        for name, value in values.items()
    )


def _is_locked(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """Print the running stack's addresses. No library is needed, so any Python can."""
    try:
        print(as_shell_lines(running_environment(LOCAL)))
    except (LauncherError, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
