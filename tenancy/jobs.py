"""The queue inside the fence: a job belongs to the organization that PostgreSQL stamps on it.

The app role has no right on the queue's tables. `defer` calls a function of the database that stamps
the organization in force and rolls back with the caller's transaction; the worker reads that stamp, never a
job's arguments, and runs the job as the app role in the stamped organization's context. A stamped job of any
other task is refused, a library's included.
"""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import orjson
from django.db import DEFAULT_DB_ALIAS, IntegrityError, close_old_connections, connections, transaction
from procrastinate import App, JobContext
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from procrastinate.tasks import Task
from procrastinate.worker import Worker

from tenancy.context import current_organization_id, org_context
from tenancy.database import violated_constraint
from tenancy.retries import (
    QUEUEING_LOCK_CONSTRAINT,
    WAKE,
    MisplacedJob,
    Queue,
    Recovery,
    UntilItLands,
    queue_clock,
)

logger = logging.getLogger(__name__)

DEFER = """
    SELECT tenancy.defer_job(%s, %s, %s, %s, %s, %s::jsonb, coalesce(%s::timestamptz, clock_timestamp() + %s::interval))
"""
STAMP = "SELECT organization_id FROM procrastinate_jobs WHERE id = %s"
STAMP_AND_TIME: LiteralString = (
    "SELECT organization_id, clock_timestamp() AS now FROM procrastinate_jobs WHERE id = %(job_id)s"
)
JOB_SECONDS = 300

_recovery = Recovery()
_running: ContextVar[int | None] = ContextVar("running_job", default=None)


class UnknownTask(LookupError):
    pass


Function = Callable[..., Any]


def prepare_app(app: App) -> None:
    """Called once all tasks are known: drops the library's own, which know no fence, and guards every job."""
    for name, task in list(app.tasks.items()):
        if task.func.__module__.startswith("procrastinate."):
            del app.tasks[name]
    app.worker_defaults["worker_middleware"] = [refuse_misplaced_job, watch_tries]
    app.job_manager = Queue(app.connector)


async def refuse_misplaced_job(
    run_job: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker
) -> Any:
    """Around every job: what an organization enqueued runs in its context or not at all. Raises MisplacedJob."""
    function = context.app.tasks[context.job.task_name].func
    is_stamped = await _stamp_async(context) is not None
    if is_stamped != getattr(function, "for_organization", False):
        whose = "an organization" if is_stamped else "nobody"
        raise MisplacedJob(f"job {context.job.id} of {context.job.task_name!r} was enqueued by {whose}")
    return await run_job()


async def watch_tries(run_job: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
    """Around every job: the library tells of the last try alone, and that may be three days from now.

    After one that went well again, all that waits of its task is due, unless it returned False: then it did not come
    as far as to need its provider.
    """
    job = context.job
    try:
        result = await run_job()
    except Exception:
        _recovery.failed(job.task_name)
        logger.warning("Try %d of job %s (%s) failed", job.attempts + 1, job.id, job.task_name, exc_info=True)
        raise
    if result is not False and _recovery.is_back(job.task_name, was_tried_before=job.attempts > 0):
        try:
            await context.app.connector.execute_query_async(WAKE, task=job.task_name)
        except ConnectorException:
            # The job went well all the same.
            logger.warning("What waits of %s could not be made due", job.task_name, exc_info=True)
    return result


def defer(
    task_name: str,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    at: datetime | timedelta | None = None,
    **arguments: Any,
) -> int:
    """Enqueue an organization's task inside the caller's transaction and context; returns the job's id.

    Due `at` a moment, or so long from now by PostgreSQL's clock, else at once.
    `lock` (one at a time) and `queueing_lock` (once while it waits) count within the organization.
    Raises UnknownTask, or NoOrganizationContext outside org_context().
    """
    task = app.tasks.get(task_name)
    if task is None or not getattr(task.func, "for_organization", False):
        raise UnknownTask(f"{task_name!r} is no organization_task")
    current_organization_id()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        payload = orjson.dumps(arguments).decode()
        due = [None, at] if isinstance(at, timedelta) else [at, None]
        cursor.execute(DEFER, [task.queue, task.name, task.priority, lock, queueing_lock, payload, *due])
        job_id: int = cursor.fetchone()[0]
    return job_id


def defer_once(task_name: str, *, queueing_lock: str, **arguments: Any) -> int | None:
    """`defer`, but None if a job with this lock waits already in the organization."""
    try:
        with transaction.atomic():
            return defer(task_name, queueing_lock=queueing_lock, **arguments)
    except IntegrityError as error:
        if violated_constraint(error) != QUEUEING_LOCK_CONSTRAINT:
            raise
        return None


def running_job() -> int | None:
    """The id of the organization's job that runs. It may run again: after a crash nobody knows how far it came."""
    return _running.get()


def organization_task(
    *, name: str, owns_transactions: bool = False
) -> Callable[[Function], Task[Any, Any, Any]]:
    """A task that runs as the app role in the context of the organization that enqueued it.

    With `owns_transactions` it gets the `organization_id` first and opens contexts itself, so that
    none is open while it talks to a provider. It returns False if it had no need of the provider: of any other end, after
    tries that failed, all that waits of this task is due at once.
    """

    def decorate(function: Function) -> Task[Any, Any, Any]:
        @functools.wraps(function)
        def run(context: JobContext, **arguments: Any) -> Any:
            with fresh_connections(), _running_as(context.job.id):
                organization_id = stamped_organization(context.job.id)
                if organization_id is None:
                    raise MisplacedJob(f"job {context.job.id} of {name!r} carries no organization")
                if owns_transactions:
                    return function(organization_id, **arguments)
                with org_context(organization_id, seconds=JOB_SECONDS):
                    return function(**arguments)

        runner: Any = run
        runner.for_organization = True
        return app.task(name=name, retry=UntilItLands(), pass_context=True)(runner)

    return decorate


def platform_task(*, name: str, cron: str) -> Callable[[Function], Task[Any, Any, Any]]:
    """A periodic task of the platform itself, which no organization can enqueue. `cron` is in UTC."""

    def decorate(function: Function) -> Task[Any, Any, Any]:
        @functools.wraps(function)
        def run(context: JobContext, timestamp: int) -> None:
            with fresh_connections():
                function()

        @functools.wraps(function)
        async def run_async(context: JobContext, timestamp: int) -> None:
            await function(context)

        runner: Any = run_async if inspect.iscoroutinefunction(function) else run
        runner.for_platform = True
        task: Task[Any, Any, Any] = app.task(name=name, queueing_lock=name, pass_context=True)(runner)
        return app.periodic(cron=cron)(task)

    return decorate


def stamped_organization(job_id: int | None) -> UUID | None:
    with connections["worker"].cursor() as cursor:
        cursor.execute(STAMP, [job_id])
        row = cursor.fetchone()
    if row is None:
        raise MisplacedJob(f"job {job_id} is not in the queue")
    organization_id: UUID | None = row[0]
    return organization_id


async def _stamp_async(context: JobContext) -> Any:
    row = await context.app.connector.execute_query_one_async(STAMP_AND_TIME, job_id=context.job.id)
    queue_clock.tell(row["now"])
    return row["organization_id"]


@contextmanager
def _running_as(job_id: int | None) -> Iterator[None]:
    token = _running.set(job_id)
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def fresh_connections() -> Iterator[None]:
    """A job's thread lives long; its connections may have died since the last job."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
