"""What waits in the queue, counted when Prometheus asks; no label names an organization."""

from collections.abc import Iterator

from django.db import OperationalError, connections
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

# A job that waits for its next try is due again only then, but has been waiting all the time.
WAITING = """
    SELECT j.task_name, count(*) FILTER (WHERE j.status = 'todo'), count(*) FILTER (WHERE j.status = 'failed'),
        extract(epoch FROM max(now() - e.at) FILTER (WHERE j.status = 'todo'))
    FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
    WHERE j.status = 'failed'
        OR (j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now() OR j.attempts > 0))
    GROUP BY 1 ORDER BY 1
"""


class JobMetrics(Collector):
    """Read as saas_worker. While PostgreSQL is away the gauges are missing, which an alert can see."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        pending = GaugeMetricFamily(
            "saas_jobs_pending", "Jobs that are due and not done, by task.", labels=["task"]
        )
        oldest = GaugeMetricFamily(
            "saas_jobs_oldest_seconds", "Age of the oldest of them, by task.", labels=["task"]
        )
        failed = GaugeMetricFamily("saas_jobs_failed", "Jobs that were given up, by task.", labels=["task"])
        for task, due, given_up, seconds in _waiting():
            pending.add_metric([task], due)
            oldest.add_metric([task], float(seconds or 0))
            failed.add_metric([task], given_up)
        yield from (pending, oldest, failed)


def _waiting() -> list[tuple[str, int, int, float | None]]:
    connection = connections["worker"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            rows: list[tuple[str, int, int, float | None]] = cursor.fetchall()
            return rows
    except OperationalError:
        return []
    finally:
        # Each scrape may come in a thread of its own.
        connection.close()
