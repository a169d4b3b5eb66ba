"""gunicorn's configuration: gunicorn -c deploy/gunicorn.conf.py saas.wsgi:application

The master reads code and settings once; a HUP only renews the workers. For new ones start a second master on the same
port, then end the first: docs/deployment.md. (USR2 does not work with sockets of the workers' own.)
"""

import gc
import os
import shutil
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# prometheus_client looks for it when it is imported, which the settings do.
MADE_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if MADE_METRICS_DIR:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="saas-metrics-")
METRICS_DIR = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])

import gunicorn.glogging  # noqa: E402
from gunicorn.workers.gthread import ThreadWorker  # noqa: E402
from prometheus_client.multiprocess import mark_process_dead  # noqa: E402

from saas import observability, settings  # noqa: E402
from saas.kit import environment as env  # noqa: E402

host = env.text("HOST", "127.0.0.1")
port = env.integer("PORT", 8000, minimum=1, maximum=65535)
bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
# With gthread and keep-alive, one shared listening socket sometimes halves the throughput (docs/performance.md).
reuse_port = True
# A worker has a socket of its own from its first moment: it must not load the application while clients wait at it.
preload_app = True

workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
# gunicorn makes a file of a random name there, and unlinks it at once.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# A worker that leaks is a fault to find; recycling would hide it and cut keep-alive connections.
max_requests = 0

timeout = 30
graceful_timeout = 30
# Longer than proxies that keep connections do, so that it is never gunicorn who closes one in use.
keepalive = 75
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# Nobody: TRUSTED_PROXY_COUNT alone says how far X-Forwarded-* is believed, and Django reads it.
forwarded_allow_ips = ""
control_socket_disable = True


# Python computes with one thread at a time: 16 that all want to cost a fifth of the throughput (docs/performance.md).
BUSY_AT_ONCE = min(4, threads)
# A request that takes longer waits for something: a password's hash, Stripe, a server that stands still.
BUSY_SECONDS = 0.1
# By then a worker has made what it keeps, such as the table of routes.
WARM_REQUESTS = 200


class Worker(ThreadWorker):  # type: ignore[misc]
    """Threads, as gunicorn's own, of which a few are busy at a time and all of them may wait.

    Whoever waits at the worker's socket when it stops is still served.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: deque[Any] = deque()
        # When each began, and in which pool. All of this happens in the main thread.
        self.begun: dict[Any, tuple[float, ThreadPoolExecutor]] = {}
        self.finished = 0

    def get_thread_pool(self) -> ThreadPoolExecutor:
        self.usual = ThreadPoolExecutor(BUSY_AT_ONCE)
        # Apart, so that the usual threads, and their connections to PostgreSQL, are used again and again.
        self.others = ThreadPoolExecutor(max(self.cfg.threads - BUSY_AT_ONCE, 1))
        return self.usual

    def enqueue_req(self, conn: Any) -> None:
        self.waiting.append(conn)
        self.begin()

    def begin(self) -> None:
        lately = time.monotonic() - BUSY_SECONDS
        busy = sum(at > lately for at, _ in self.begun.values())
        while self.waiting and busy < BUSY_AT_ONCE and len(self.begun) < self.cfg.threads:
            usual = sum(pool is self.usual for _, pool in self.begun.values())
            # Where gunicorn's own puts it.
            self.tpool = self.usual if usual < BUSY_AT_ONCE else self.others
            conn = self.waiting.popleft()
            self.begun[conn] = time.monotonic(), self.tpool
            busy += 1
            super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        del self.begun[conn]
        super().finish_request(conn, fs)
        self.begin()
        self.finished += 1
        if self.finished == WARM_REQUESTS:
            keep()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, BUSY_SECONDS) if self.waiting else timeout)
        self.begin()

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            connections = -1
            while connections != self.nr_conns:
                connections = self.nr_conns
                self.accept(listener)
            # At once, not once the last request is answered: the kernel would still send clients here.
            listener.close()
        self.sockets = []


worker_class = Worker


class Logger(gunicorn.glogging.Logger):
    """Each request has its line from saas.access; gunicorn would build one of its own for nobody."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        return None


logger_class = Logger
accesslog = None
logconfig_dict: dict[str, Any] = {
    **settings.LOGGING,
    "loggers": {
        **settings.LOGGING["loggers"],
        "gunicorn.error": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}


def keep() -> None:
    """What is there by now stays: the garbage collector need not go through it again, 75 ms at a time."""
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    keep()


def on_starting(server: Any) -> None:
    """Counters of an earlier run would be added to this one's."""
    METRICS_DIR.mkdir(parents=True, exist_ok=True)
    for file in METRICS_DIR.glob("*.db"):
        file.unlink(missing_ok=True)


def post_fork(server: Any, worker: Any) -> None:
    # The benchmark runs others with this file, whose settings know nothing of it.
    if server.app.app_uri.startswith("saas."):
        observability.start()


def child_exit(server: Any, worker: Any) -> None:
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    if MADE_METRICS_DIR:
        shutil.rmtree(METRICS_DIR, ignore_errors=True)
