"""Child processes that cannot outlive us, not even when we are killed with `kill -9`."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from signal import Signals

from saas.launcher import watchdog
from saas.launcher.errors import LauncherError

LOOPBACK = "127.0.0.1"
# Below the range from which systems take outgoing ports: a server that is restarted gets its port back.
PORTS = range(20_000, 32_768)

_PR_SET_PDEATHSIG = 1
_KERNEL_TIES_CHILDREN = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(eq=False)
class Child:
    """One process of ours. It may be started again after it has ended.

    `stop_signal` asks it to end, `hurry_signal` follows after `grace` seconds. `death_signal` comes when we die.
    """

    name: str
    command: Sequence[str | Path]
    _: KW_ONLY
    environment: Mapping[str, str] | None = None
    stop_signal: Signals = signal.SIGTERM
    hurry_signal: Signals = signal.SIGKILL
    death_signal: Signals = signal.SIGKILL
    grace: float = 20
    log: Path | None = None
    log_errors: bool = True
    stdin: bytes = b""
    before_exec: Callable[[], None] | None = None
    own_session: bool = True
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        if _KERNEL_TIES_CHILDREN and threading.current_thread() is not threading.main_thread():
            # The kernel's promise is tied to the thread that forks: the child would end with it.
            raise RuntimeError(f"{self.name} must be started from the main thread")
        output = self.log.open("ab") if self.log else None
        try:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT if output and self.log_errors else None,
                start_new_session=self.own_session,
                preexec_fn=self._prepare(os.getpid()),
            )
        finally:
            if output:
                output.close()
        if not _KERNEL_TIES_CHILDREN:
            watchdog.guard(self._process.pid, self.death_signal)
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it was asked for above
        self._process.stdin.write(self.stdin)
        self._process.stdin.close()

    def _prepare(self, parent_pid: int) -> Callable[[], None]:
        def prepare() -> None:
            if self.before_exec:
                self.before_exec()
            if _KERNEL_TIES_CHILDREN:
                # After a change of user, which would undo it.
                _libc.prctl(_PR_SET_PDEATHSIG, int(self.death_signal))
                if os.getppid() != parent_pid:
                    os._exit(1)

        return prepare

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and negative when a signal ended it."""
        if self._process is None:
            return None
        before = self._process.returncode
        code = self._process.poll()
        if before is None and code is not None and not _KERNEL_TIES_CHILDREN:
            watchdog.release(self._process.pid)
        return code

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether it has ended."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return self.exit_code is not None

    def ask_to_stop(self, *, hurry: bool = False) -> None:
        if self.is_running:
            os.kill(self.pid, self.hurry_signal if hurry else self.stop_signal)
            # A frozen process would not notice.
            os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Return once it has ended, however long it has been running, frozen or gone."""
        self.ask_to_stop()
        if self._process is None or self.wait(self.grace):
            return
        self.ask_to_stop(hurry=True)
        if not self.wait(self.grace):
            self.kill()

    def kill(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def end_with_parent() -> None:
    """Tie our own life to the process that started us."""
    if _KERNEL_TIES_CHILDREN:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - of a server of ours
            return True
    except OSError:
        return False


def wait_until_ready(child: Child, is_ready: Callable[[], bool], *, timeout: float, advice: str) -> None:
    """Raises LauncherError with `advice` when the child ends, or when its time is up."""
    deadline = time.monotonic() + timeout
    while not is_ready():
        if not child.is_running:
            raise LauncherError(
                f"{child.name} ended with exit code {child.exit_code} before it was ready. {advice}"
            )
        if time.monotonic() > deadline:
            raise LauncherError(f"{child.name} was not ready within {timeout:g} s. {advice}")
        time.sleep(0.02)


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        if is_port_free(LOOPBACK, port):
            return port
    raise LauncherError(f"No free port found between {PORTS.start} and {PORTS.stop - 1}.")


def is_port_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the servers do: connections that are still closing don't count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
