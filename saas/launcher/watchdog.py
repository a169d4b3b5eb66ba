"""Where the kernel can't tie a child's life to its parent's, this process does.

Its standard input is a pipe that only the parent holds open. Its end means that the parent died.
"""

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from signal import Signals
from typing import IO


@cache
def _pipe_to(owner_pid: int) -> IO[str]:
    # A session of its own, or the terminal's Ctrl-C would end it before the children that it guards.
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None  # noqa: S101 - for mypy: it was asked for above
    return process.stdin


def guard(pid: int, death_signal: Signals) -> None:
    """Send `pid` this signal when the calling process dies."""
    _tell(f"{pid} {death_signal.value}")


def release(pid: int) -> None:
    """Forget `pid`: it has ended, and its number may soon belong to somebody else."""
    _tell(f"{pid} 0")


def _tell(line: str) -> None:
    pipe = _pipe_to(os.getpid())
    pipe.write(f"{line}\n")
    pipe.flush()


def watch(lines: IO[str]) -> None:
    guarded: dict[int, int] = {}
    for line in lines:
        pid, number = map(int, line.split())
        if number:
            guarded[pid] = number
        else:
            guarded.pop(pid, None)
    for pid, number in guarded.items():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    watch(sys.stdin)
