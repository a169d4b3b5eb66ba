"""The servers that are measured, each a process tree of its own on a free loopback port."""

import http.client
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
from redis import Redis

from bench.accounting import family, parent_of, resident_megabytes
from bench.environment import WORKERS, web_environment
from saas.launcher.processes import Child, free_port, wait_until_ready

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
UVICORN = [
    *(sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
    *("--workers", str(WORKERS), "bench.fastapi_side:app"),
]


class Side:
    """`description` is a line for the report."""

    def __init__(self, name: str, description: str, command: list[str], **changes: str) -> None:
        self.name = name
        self.description = description
        self.port = free_port()
        self._command = command
        self._changes = changes
        self.seconds_to_first_answer = 0.0
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self, directory: Path, redis_database: int) -> None:
        """Return once it answers. Raises LauncherError."""
        environment = web_environment(port=self.port, redis_database=redis_database, **self._changes)
        if "uvicorn" in self._command:
            environment["UVICORN_PORT"] = str(self.port)
        # Each of the metrics directories is emptied by the gunicorn that starts in it.
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        log = directory / f"{self.name}.log"
        self._child = Child(self.name, self._command, environment=environment, log=log)
        started = time.monotonic()
        self._child.start()
        wait_until_ready(self._child, self.answers, timeout=60, advice=f"Its log is {log}")
        self.seconds_to_first_answer = time.monotonic() - started

    def answers(self) -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
                connection.request("GET", "/")
                return connection.getresponse().status > 0
        except OSError:
            return False

    def worker_megabytes(self) -> float:
        """Resident memory of the largest worker."""
        return max(resident_megabytes(pid) for pid in family(self.pid)[1:])

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


def platform(name: str, description: str, **changes: str) -> Side:
    return Side(name, description, [*GUNICORN, "saas.wsgi:application"], **changes)


def all_sides(naive_url: str) -> list[Side]:
    return [
        Side("limit", "bare WSGI callable that does the work alone", [*GUNICORN, "bench.limit:application"]),
        platform("us", "the platform, asking PostgreSQL for each session", SESSION_FACTS_SECONDS="0"),
        platform("us-cached", "the platform as it is, facts of sessions in Redis"),
        Side(
            "naive",
            "the usual Django way: DRF, simplejwt, throttles on the cache",
            # As people run it: what the platform's own configuration gains is the platform's.
            [*GUNICORN[:3], "-c", "bench/naive/gunicorn.conf.py", "bench.naive.wsgi:application"],
            NAIVE_DATABASE_URL=naive_url,
            DJANGO_SETTINGS_MODULE="bench.naive.settings",
        ),
        Side("fastapi", "FastAPI, asyncpg and redis.asyncio on uvicorn", UVICORN),
    ]


def database_pid(url: str) -> int:
    """The postmaster's, which all backends descend from. Raises if the server runs elsewhere."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return parent_of(row[0])


def redis_pid(url: str) -> int:
    with closing(Redis.from_url(url)) as connection:
        return int(connection.info("server")["process_id"])
