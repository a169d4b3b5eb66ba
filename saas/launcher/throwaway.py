"""Servers of their own for one command, such as the tests; a stack that runs here does not notice."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from saas.launcher.binaries import Origin
from saas.launcher.environment import development_defaults, given, kept_secrets, role_urls
from saas.launcher.errors import LauncherError
from saas.launcher.processes import Child, free_port
from saas.launcher.say import say
from saas.launcher.servers import Postgres, Valkey
from saas.launcher.state import try_lock

PREFIX = f"saas-test-{os.geteuid()}-"


def run_with_servers(command: Sequence[str]) -> int:
    """Return the command's exit code."""
    with _directory() as directory, _environment(directory) as environment:
        # In our own session, so that Ctrl-C at the terminal reaches it too, and it alone answers.
        child = Child(
            command[0], command, environment=environment, death_signal=signal.SIGTERM, own_session=False
        )
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: child.ask_to_stop())
        child.start()
        child.wait()
        code = child.exit_code or 0
    return 128 - code if code < 0 else code


@contextmanager
def _environment(directory: Path) -> Iterator[dict[str, str]]:
    kept = kept_secrets(directory)
    with ExitStack() as servers:
        superuser_url = given("TEST_BOOTSTRAP_DATABASE_URL")
        if not superuser_url:
            postgres = Postgres(directory / "postgres", durable=False, origin=_chosen_origin())
            superuser_url = servers.enter_context(postgres).url
            say(str(postgres))
        redis_url = given("TEST_REDIS_URL")
        if not redis_url:
            valkey = Valkey(directory / "valkey", durable=False)
            redis_url = servers.enter_context(valkey).url
            say(str(valkey))
        yield {
            **os.environ,
            **development_defaults(directory, kept, host="127.0.0.1", port=free_port()),
            **role_urls(superuser_url, kept),
            "BOOTSTRAP_DATABASE_URL": superuser_url,
            "REDIS_URL": redis_url,
        }


def _chosen_origin() -> Origin | None:
    """TEST_POSTGRES=path tests with the machine's own PostgreSQL, of whatever version that is."""
    match given("TEST_POSTGRES"):
        case "":
            return None
        case "path":
            return "path"
        case "wheel":
            return "wheel"
        case other:
            raise LauncherError(f"TEST_POSTGRES={other}: expected path or wheel.")


@contextmanager
def _directory() -> Iterator[Path]:
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    # PostgreSQL may run as another user, who has to get at its own part.
    directory.chmod(0o711)
    with (directory / "unlocked").open("a") as lock:
        try_lock(lock.fileno())
        Path(lock.name).rename(directory / "lock")
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


def _sweep() -> None:
    """Remove what those left that were killed; one that still runs holds its lock."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with suppress(FileNotFoundError), lock.open("a") as file:
            if try_lock(file.fileno()):
                shutil.rmtree(lock.parent)
