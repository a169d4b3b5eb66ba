"""One run of load against one port, and what the client itself took for it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CONNECTIONS = 32


class WrongAnswers(Exception):
    """A side refused, broke off or ran out of requests, so its figures would say nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """`client_seconds` is CPU time; latencies are milliseconds."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    client_seconds: float

    @property
    def a_second(self) -> float:
        return self.requests / self.seconds


def command(port: int, file: Path, seconds: float, connections: int) -> list[str]:
    if shutil.which("wrk") is None:
        return [sys.executable, "-m", "bench.client", str(port), str(file), str(connections), str(seconds)]
    # wrk takes whole seconds alone.
    return [
        *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"),
        *("-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}/", "--", str(file)),
    ]


def send(
    port: int, file: Path, *, seconds: float, connections: int = CONNECTIONS, once: bool = False
) -> Load:
    """Load a port for some seconds. `once`: no request may be sent twice. Raises WrongAnswers."""
    summary, client_seconds = _run(command(port, file, seconds, connections))
    _refuse(summary, available=file.read_bytes().count(b"\0") if once else None)
    return _load(summary, client_seconds)


def hash_passwords(seconds: float) -> Load:
    """Not a load at all, but what all cores together hash in that time."""
    return _load(*_run([sys.executable, "-m", "bench.hashing", str(seconds)]))


def _run(command: list[str]) -> tuple[dict[str, float], float]:
    """The last line of its output, and the CPU seconds that it took."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise WrongAnswers(f"the client ended with exit code {process.returncode}: {output}")
    return json.loads(output.strip().splitlines()[-1]), usage.ru_utime + usage.ru_stime


def _load(summary: dict[str, float], client_seconds: float) -> Load:
    figures = {name: summary[name] for name in ("seconds", "p50", "p95", "p99")}
    return Load(requests=int(summary["requests"]), **figures, client_seconds=client_seconds)


def _refuse(summary: dict[str, float], available: int | None) -> None:
    if summary["refused"] or summary["broken"] or not summary["requests"]:
        raise WrongAnswers(json.dumps(summary))
    if available is not None and summary["sent"] > available:
        raise WrongAnswers(f"{summary['sent']} requests were sent, but only {available} made for one use")
