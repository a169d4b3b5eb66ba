"""A PostgreSQL and a Valkey of our own: on loopback, with a password, gone when we are."""

import os
import secrets
import shutil
import signal
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from saas.launcher import binaries
from saas.launcher.account import postgres_account
from saas.launcher.errors import LauncherError
from saas.launcher.processes import LOOPBACK, Child, free_port, wait_until_ready

SUPERUSER = "postgres"
LOOPBACK_PASSWORDS_ONLY = "host all all 127.0.0.1/32 scram-sha-256\n"
TRIES_AFTER_CRASH = 20
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Server(Child, ABC):
    """Stopped, killed or gone, it comes back on the same port with start()."""

    port: int
    version: str
    log: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version} on port {self.port}"

    @property
    @abstractmethod
    def url(self) -> str:
        """With the password, if it asks for one."""

    def start(self) -> None:
        """Return once it answers. Raises LauncherError."""
        super().start()
        wait_until_ready(self, self._is_ready, timeout=60, advice=f"Its log is {self.log}")

    @abstractmethod
    def _is_ready(self) -> bool: ...

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Postgres(Server):
    """`url` is the superuser's.

    Its password lies beside the data, in `<data_dir>.password`; so does the log, in `<data_dir>.log`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        origin: binaries.Origin | None = None,
    ) -> None:
        """Without `durable` a crash costs the last commits: for tests alone."""
        self.binary = binaries.postgres(origin)
        self.port = port or free_port()
        self.version = str(self.binary)
        self.password = _password(data_dir)
        self._account = postgres_account()
        self.data_dir = self._account.home(data_dir)
        self._program = self._account.program(self.binary.path)
        settings = self._settings() | ({} if durable else NOT_DURABLE)
        super().__init__(
            "PostgreSQL",
            [
                self._program,
                "-D",
                self.data_dir,
                *(part for item in settings.items() for part in ("-c", "=".join(item))),
            ],
            environment=_clean_environment(),
            stop_signal=signal.SIGINT,
            hurry_signal=signal.SIGQUIT,
            death_signal=signal.SIGINT,
            log=_beside(data_dir, "log"),
            before_exec=self._account.enter,
        )

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }

    @property
    def url(self) -> str:
        return f"postgres://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def is_new(self) -> bool:
        return not (self.data_dir / "PG_VERSION").exists()

    def start(self) -> None:
        if self.is_new:
            self._initialize()
        self._refuse_other_version()
        self._account.own(self.data_dir)
        tries = TRIES_AFTER_CRASH if self._crashed() else 1
        while True:
            tries -= 1
            try:
                return super().start()
            except LauncherError:
                # The backends of a killed server linger for a moment, and it can't start among them.
                if self.is_running or not tries:
                    raise
                time.sleep(0.5)

    def _initialize(self) -> None:
        # Under another name until it is whole, since initdb may be interrupted.
        unfinished = _beside(self.data_dir, "unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        password_file = _beside(self.data_dir, "initial-password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        for path in (unfinished, password_file):
            self._account.own(path)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", f"--pwfile={password_file}", *self._locale()]
        initdb = Child(
            "initdb",
            [self._program.with_name("initdb"), "-D", unfinished, "-U", SUPERUSER, *options],
            environment=_clean_environment(),
            log=self.log,
            before_exec=self._account.enter,
        )
        try:
            initdb.start()
            initdb.wait()
        finally:
            initdb.kill()
            password_file.unlink()
        if initdb.exit_code != 0:
            raise LauncherError(f"PostgreSQL could not make its data directory. Its log is {self.log}")
        (unfinished / "pg_hba.conf").write_text(LOOPBACK_PASSWORDS_ONLY)
        unfinished.rename(self.data_dir)

    def _locale(self) -> list[str]:
        if self.binary.major_version < 17:
            return ["--locale=C"]
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

    def _refuse_other_version(self) -> None:
        made_by = (self.data_dir / "PG_VERSION").read_text().strip()
        if made_by != str(self.binary.major_version):
            raise LauncherError(
                f"{self.data_dir} was made by PostgreSQL {made_by} and this one is {self.binary}."
                " `make clean` removes the data."
            )

    def _crashed(self) -> bool:
        """Whether the last server left its lock. Raises LauncherError if it still lives."""
        lock = self.data_dir / "postmaster.pid"
        if not lock.exists():
            return False
        if not Path("/proc/self").exists():
            return True
        pid, _, rest = lock.read_text().partition("\n")
        if not _ends_soon(int(pid), self.data_dir):
            raise LauncherError(f"PostgreSQL still runs on {self.data_dir} as process {pid}.")
        if lock.exists():
            # The number may have gone to another process, at which PostgreSQL would give up. It takes the
            # number of its parent for stale, and learns of left-over backends from the rest of the lock.
            lock.write_text(f"{os.getpid()}\n{rest}")
        return True

    def _is_ready(self) -> bool:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


class Valkey(Server):
    """The password lies beside the data, in `<data_dir>.password`; so does the log, in `<data_dir>.log`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        origin: binaries.Origin | None = None,
    ) -> None:
        """Without `durable` nothing is written: it comes back empty."""
        self.binary = binaries.valkey(origin)
        self.port = port or free_port()
        self.version = str(self.binary)
        self.data_dir = data_dir
        self.password = _password(data_dir)
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": f'"{data_dir}"',
            "requirepass": self.password,
            "save": "60 1" if durable else '""',
            "daemonize": "no",
        }
        # On standard input, so that no process list shows the password.
        configuration = "".join(f"{name} {value}\n" for name, value in settings.items())
        super().__init__(
            "Valkey", [self.binary.path, "-"], log=_beside(data_dir, "log"), stdin=configuration.encode()
        )

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().start()

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False


def _beside(data_dir: Path, suffix: str) -> Path:
    return data_dir.with_name(f"{data_dir.name}.{suffix}")


def _password(data_dir: Path) -> str:
    file = _beside(data_dir, "password")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()


def _ends_soon(pid: int, data_dir: Path) -> bool:
    command = Path("/proc", str(pid), "cmdline")
    for _ in range(200):
        try:
            if os.fsencode(data_dir) not in command.read_bytes().split(b"\0"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def _clean_environment() -> dict[str, str]:
    """Without PGPORT, PGDATA and the like, which the server's programs would follow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
