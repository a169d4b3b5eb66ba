from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from procrastinate.contrib.django import app
from prometheus_client import REGISTRY, start_http_server

from tenancy.job_metrics import JobMetrics
from tenancy.tasks import FORGOTTEN_SECONDS, HEARTBEAT_SECONDS

SHUTDOWN_SECONDS = 20
# Of jobs that jobs enqueue. A job may wait for another worker's, or enqueue itself again: that is for another time.
GENERATIONS = 5
DUE = "SELECT FROM procrastinate_jobs WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now()) LIMIT 1"


class Command(BaseCommand):
    help = "Runs background jobs: fetched as saas_worker, each run as saas_app in its organization's context."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=4, help="jobs at a time (default 4)")
        parser.add_argument(
            "--once", action="store_true", help="run what is due, and what that makes due, then stop"
        )
        parser.add_argument(
            "--poll",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="look for jobs this often while there are none (default 1)",
        )

        parser.add_argument(
            "--metrics-port",
            type=int,
            default=settings.WORKER_METRICS_PORT,
            metavar="PORT",
            help="serve /metrics there (default WORKER_METRICS_PORT; 0: don't)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if "worker" not in settings.DATABASES:
            raise CommandError("WORKER_DATABASE_URL is not set: the worker fetches jobs as saas_worker")
        if options["metrics_port"]:
            REGISTRY.register(JobMetrics())
            start_http_server(options["metrics_port"], addr=settings.WORKER_METRICS_HOST)
        # What a job enqueued while there was nothing else to fetch is due too.
        for _ in range(GENERATIONS):
            self._work(options)
            if not options["once"] or not _is_a_job_due():
                break

    def _work(self, options: dict[str, Any]) -> None:
        with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]
            app.run_worker(
                name=None,
                concurrency=options["concurrency"],
                wait=not options["once"],
                fetch_job_polling_interval=options["poll"],
                # Anybody who may connect may NOTIFY: forged, it stops the worker or asks it to abort a job.
                listen_notify=False,
                shutdown_graceful_timeout=SHUTDOWN_SECONDS,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=FORGOTTEN_SECONDS,
            )


def _is_a_job_due() -> bool:
    with connections["worker"].cursor() as cursor:
        cursor.execute(DUE)
        return cursor.fetchone() is not None
