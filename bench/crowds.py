"""Runs bench/locustfile.py against the platform as it is: baseline, stress, ultimate or active."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from bench.environment import directory
from bench.load import HERE, WrongAnswers
from bench.sides import Side


@dataclass(frozen=True, slots=True)
class Size:
    """Of 90 requests 5 are log-outs, and each takes one of a person's sessions."""

    users: int
    people: int = 1000
    sessions: int = 12
    seconds: int = 60
    spawn_seconds: int = 10
    think_seconds: int = 0
    # gunicorn keeps 1,000 connections a worker; more wait at nginx.
    is_behind_nginx: bool = False


CROWDS = {
    "baseline": Size(500),
    "stress": Size(1000),
    "ultimate": Size(2000),
    "active": Size(
        10_000,
        people=10_000,
        sessions=2,
        seconds=150,
        spawn_seconds=60,
        think_seconds=50,
        is_behind_nginx=True,
    ),
}
# What an address asks for too often, to see that it is refused exactly then.
PLANS = "/payments/plans"
APART = ("POST /auth/login", PLANS)
POOL_FAILURES = re.compile(r"^saas_redis_pool_failures_total (\S+)", re.MULTILINE)


def run(side: Side, size: Size, address: str) -> dict[str, Any]:
    """Load the side at its address, print what came of it, and return it."""
    result = directory() / "crowd.json"
    crowd = {**asdict(size), "result": str(result)}
    output = directory() / "locust.log"
    with output.open("w") as log:
        code = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless"),
                *("--users", str(size.users), "--spawn-rate", str(size.users / size.spawn_seconds)),
                *("--run-time", f"{size.seconds}s", "--host", address, "--only-summary", "--reset-stats"),
                *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
            ],
            env={**os.environ, "BENCH_CROWD": json.dumps(crowd)},
            stdout=log,
            stderr=log,
            check=False,
        ).returncode
    if code or not result.exists():
        raise WrongAnswers(f"locust ended with exit code {code}: {output.read_text()[-2000:]}")
    found = {"users": size.users, **json.loads(result.read_text()), "pool_failures": pool_failures(side.port)}
    for line in lines(found):
        print(line)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    mixed = {name: entry for name, entry in found["entries"].items() if name not in APART}
    apart = {name: entry for name, entry in found["entries"].items() if name in APART[:1]}
    return [
        f"\n{found['users']} users, mixed",
        *(_line(name, [entry]) for name, entry in sorted(mixed.items())),
        _line("all of these", list(mixed.values())),
        *(f"{_line(name, [entry])}  (apart: bound by bcrypt)" for name, entry in apart.items()),
        f"  rate-limit decisions wrong: {found['wrong_decisions']} of {found['decisions']}",
        f"  Redis pool failures: {found['pool_failures']:.0f}",
        *(f"  {error}" for error in found["errors"]),
    ]


def _line(name: str, entries: list[dict[str, Any]]) -> str:
    requests = sum(entry["requests"] for entry in entries)
    failures = sum(entry["failures"] for entry in entries)
    times: Counter[int] = Counter()
    for entry in entries:
        times.update({int(time): count for time, count in entry["times"].items()})
    p50, p95, p99 = (percentile(times, part) for part in (0.5, 0.95, 0.99))
    success = 100 * (requests - failures) / requests if requests else 0
    rate = sum(entry["a_second"] for entry in entries)
    return (
        f"  {name:22}{success:8.3f} % of {requests:7}  p50 {p50:5} p95 {p95:5} p99 {p99:5} ms  {rate:7.1f}/s"
    )


def percentile(times: Counter[int], part: float) -> int:
    """Of milliseconds by how many requests took them."""
    left = part * times.total()
    for time in sorted(times):
        left -= times[time]
        if left <= 0:
            return time
    return 0


def pool_failures(port: int) -> float:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/metrics")
        match = POOL_FAILURES.search(connection.getresponse().read().decode())
    return float(match[1]) if match else 0.0
