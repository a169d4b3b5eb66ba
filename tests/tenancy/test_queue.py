"""What became of a job is noted of the try that it was, and of no other: a job may be another worker's by then."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status

from saas.kit import clock
from tenancy.retries import Queue


@asynccontextmanager
async def queue():
    """With three workers that are registered. There is one job: the mail of who registered."""
    connector = app.connector.get_worker_connector()
    await connector.open_async()
    try:
        queue = Queue(connector)
        yield queue, [await queue.register_worker() for _ in range(3)]
    finally:
        await connector.close_async()


def lose_the_first_answer(queue, name):
    """PostgreSQL does what it is asked, and the line breaks before it says so."""
    execute, lost = queue.connector.execute_query_async, []

    async def losing(query, **arguments):
        await execute(query, **arguments)
        if name in query and not lost:
            lost.append(query)
            raise ConnectorException("the answer is lost")

    queue.connector.execute_query_async = losing


@pytest.mark.parametrize("due_in", [0.5, 2.5])
def test_a_retry_whose_answer_is_lost_leaves_alone_who_has_the_job_then(alice, due_in):
    async def run():
        async with queue() as (jobs, (first, second, third)):
            job = await jobs.fetch_job(queues=None, worker_id=first)
            lose_the_first_answer(jobs, "retry_job")
            retry = jobs.retry_job(job, retry_at=clock.now() + timedelta(seconds=due_in))
            noted = asyncio.create_task(retry)
            taken = None
            while taken is None:
                await asyncio.sleep(0.1)
                taken = await jobs.fetch_job(queues=None, worker_id=second)
            assert taken.id == job.id
            await noted
            assert await jobs.fetch_job(queues=None, worker_id=third) is None
            await jobs.finish_job(taken, Status.SUCCEEDED, delete_job=False)

    asyncio.run(run())


def test_an_end_whose_answer_is_lost_is_noted_once(alice, owner_connection):
    async def run():
        async with queue() as (jobs, (first, *_)):
            job = await jobs.fetch_job(queues=None, worker_id=first)
            lose_the_first_answer(jobs, "finish_job")
            await jobs.finish_job(job, Status.SUCCEEDED, delete_job=False)
            return job.id

    found = owner_connection.execute(
        "SELECT status::text, attempts FROM procrastinate_jobs WHERE id = %s", [asyncio.run(run())]
    )
    assert found.fetchall() == [("succeeded", 1)]


def test_a_worker_that_wakes_up_leaves_alone_who_has_its_job_by_now(alice):
    async def run():
        async with queue() as (jobs, (first, second, third)):
            job = await jobs.fetch_job(queues=None, worker_id=first)
            # It looked dead, so the job was given back.
            await jobs.retry_job(job, retry_at=clock.now())
            taken = await jobs.fetch_job(queues=None, worker_id=second)
            assert taken.id == job.id
            await jobs.retry_job(job, retry_at=clock.now())
            await jobs.finish_job(job, Status.FAILED, delete_job=False)
            assert await jobs.fetch_job(queues=None, worker_id=third) is None
            await jobs.finish_job(taken, Status.SUCCEEDED, delete_job=False)

    asyncio.run(run())
