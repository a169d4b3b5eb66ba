"""gunicorn's configuration: gunicorn -c deploy/gunicorn.conf.py saas.wsgi:application

The master reads code and settings once; a HUP only renews the workers. For new ones start a second master on the same
port, then end the first: docs/deployment.md. (USR2 does not work with sockets of the workers' own.)
"""

import os
import shutil
import tempfile
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


class Worker(ThreadWorker):  # type: ignore[misc]
    """Threads, as gunicorn's own; but whoever waits at the worker's socket when it stops is still served."""

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
