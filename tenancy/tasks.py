"""The queue's own periodic work, and sending mail."""

import asyncio
from uuid import UUID

from procrastinate import JobContext
from procrastinate.jobs import Job

from tenancy import mails
from tenancy.jobs import organization_task, platform_task

HEARTBEAT_SECONDS = 10
STALLED_SECONDS = 30
# A worker that starts forgets those: sooner, and a step of PostgreSQL's clock would have it forget living ones.
FORGOTTEN_SECONDS = 24 * 3600
FINISHED_JOBS_HOURS = 24 * 7
# Long enough for somebody to look into it.
FAILED_JOBS_HOURS = 24 * 30


@platform_task(name="retry_stalled_jobs", cron="* * * * *")
async def retry_stalled_jobs(context: JobContext) -> None:
    """Take up the jobs of workers that stopped sending heartbeats, the oldest first."""
    before = await _stalled_jobs(context)
    if not before:
        return
    # After a step of PostgreSQL's clock, or when machines slept, living workers look dead until their next heartbeat.
    await asyncio.sleep(HEARTBEAT_SECONDS + 5)
    still = await _stalled_jobs(context)
    for job_id in sorted(before.keys() & still.keys()):
        if before[job_id].worker_id == still[job_id].worker_id:
            await context.app.job_manager.retry_job(still[job_id])


async def _stalled_jobs(context: JobContext) -> dict[int, Job]:
    found = await context.app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS)
    return {job.id: job for job in found if job.id is not None}


@platform_task(name="prune_finished_jobs", cron="23 * * * *")
async def prune_finished_jobs(context: JobContext) -> None:
    await context.app.job_manager.delete_old_jobs(nb_hours=FINISHED_JOBS_HOURS)
    await context.app.job_manager.delete_old_jobs(nb_hours=FAILED_JOBS_HOURS, include_failed=True)


@organization_task(name="send_mail", owns_transactions=True)
def send_mail(organization_id: UUID, *, mail_id: str) -> bool:
    return mails.send_mail(organization_id, mail_id=UUID(mail_id))
