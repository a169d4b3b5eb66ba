"""When a job that failed is tried again, and how what became of a job reaches the queue."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, LiteralString

import psycopg
from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from saas.kit import clock

logger = logging.getLogger(__name__)

# Each divides the next: what waits for the longest is due at the same moments, and then the oldest goes first.
WAITS = (5, 15, 60, 300, 900, 3600)
MAX_ATTEMPTS = 78
QUEUEING_LOCK_CONSTRAINT = "procrastinate_jobs_queueing_lock_idx_v1"
SECONDS_BETWEEN_NOTES = 1.0
NOTES = 10
# Of this try alone: once its end is noted, or a worker that looked dead has lost it, the job may be another's.
FINISH: LiteralString = """
    SELECT procrastinate_finish_job_v1(own.id, %(status)s, %(delete_job)s)
    FROM (SELECT id FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing' AND attempts = %(attempts)s
          AND (worker_id = %(worker_id)s OR worker_id IS NULL) FOR UPDATE) own
"""
RETRY: LiteralString = """
    SELECT procrastinate_retry_job_v2(own.id, %(retry_at)s, %(priority)s, %(queue)s, %(lock)s)
    FROM (SELECT id FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing' AND attempts = %(attempts)s
          AND (worker_id = %(worker_id)s OR worker_id IS NULL) FOR UPDATE) own
"""

# What waits for another try, the oldest first.
WAKE: LiteralString = """
    UPDATE procrastinate_jobs SET scheduled_at = now()
    WHERE status = 'todo' AND task_name = %(task)s AND attempts > 0 AND scheduled_at > now()
"""
# A job that fails whatever its provider does would use up its tries by being woken.
SECONDS_BETWEEN_WAKES = 900.0

# By PostgreSQL's clock it is decided when a job is due: by a worker's that is slow, all tries would be over at once.
queue_clock = clock.ServerClock()


class MisplacedJob(RuntimeError):
    """A job of an organization without a stamp, or a stamped one of anything else."""


class UntilItLands(BaseRetryStrategy):
    """Waits for the next full 5, 15 and 60 seconds, 5 and 15 minutes, then hours, for three days: longer than a
    provider is down.

    An exception may name its own seconds, as `retry_in`.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if job.attempts >= MAX_ATTEMPTS or isinstance(exception, MisplacedJob):
            return None
        now = queue_clock.now()
        own = getattr(exception, "retry_in", None)
        if own is not None:
            return RetryDecision(retry_at=now + timedelta(seconds=own))
        wait = WAITS[min(job.attempts, len(WAITS) - 1)]
        return RetryDecision(retry_at=clock.from_timestamp((now.timestamp() // wait + 1) * wait))


class Recovery:
    """Tells when a task goes well after it failed: what it needs is back, and nothing should wait for its hour."""

    def __init__(self) -> None:
        self._failed: set[str] = set()
        self._woken: dict[str, float] = {}

    def failed(self, task: str) -> None:
        self._failed.add(task)

    def is_back(self, task: str, *, was_tried_before: bool) -> bool:
        """Asked after each try that went well; true once an outage, and no sooner again than may be."""
        now = monotonic()
        if not (was_tried_before or task in self._failed):
            return False
        if now - self._woken.get(task, -SECONDS_BETWEEN_WAKES) < SECONDS_BETWEEN_WAKES:
            return False
        self._failed.discard(task)
        self._woken[task] = now
        return True


class Queue(JobManager):
    """Sees to it that no job stays marked as running after its end, and that a taken queueing lock stops nobody."""

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        try:
            with _taken_lock_told():
                return await super().defer_periodic_job(job, periodic_id, defer_timestamp)
        except UniqueViolation as error:
            raise AlreadyEnqueued from error

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await self._note(FINISH, job, status=status.value, delete_job=delete_job)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        new = {"priority": priority, "queue": queue, "lock": lock}
        try:
            await self._note(RETRY, job, retry_at=retry_at or queue_clock.now(), **new)
        except UniqueViolation:
            # Another one waits under its queueing lock, and does what this one was to do.
            await self.finish_job(job, Status.ABORTED, delete_job=True)

    async def _note(self, note: LiteralString, job: Job, **arguments: Any) -> None:
        """The worker lives on after this, so nobody would take its job for stalled: one try is not enough.

        Should PostgreSQL be away for longer, the heartbeat ends the worker.
        """
        for left in reversed(range(NOTES)):
            try:
                with _taken_lock_told():
                    await self.connector.execute_query_async(
                        note, job_id=job.id, worker_id=job.worker_id, attempts=job.attempts, **arguments
                    )
                return
            except UniqueViolation:
                raise
            except ConnectorException:
                if not left:
                    raise
                logger.warning("What became of job %s could not be noted yet", job.id, exc_info=True)
                await asyncio.sleep(SECONDS_BETWEEN_NOTES)


@contextmanager
def _taken_lock_told() -> Iterator[None]:
    """The library reads the lock from a detail that PostgreSQL leaves out where rows are fenced, and trips over it."""
    try:
        yield
    except (AssertionError, TypeError) as error:
        violation = error.__context__
        if (
            isinstance(violation, psycopg.errors.UniqueViolation)
            and violation.diag.constraint_name == QUEUEING_LOCK_CONSTRAINT
        ):
            raise UniqueViolation(constraint_name=QUEUEING_LOCK_CONSTRAINT, queueing_lock=None) from violation
        raise
