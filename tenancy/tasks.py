"""The queue's own periodic work, and sending mail."""

from uuid import UUID

from procrastinate import JobContext

from tenancy import mails
from tenancy.jobs import organization_task, platform_task

FINISHED_JOBS_HOURS = 24 * 7
# Long enough for somebody to look into it.
FAILED_JOBS_HOURS = 24 * 30


@platform_task(name="retry_stalled_jobs", cron="* * * * *")
async def retry_stalled_jobs(context: JobContext) -> None:
    """Take up the jobs of workers that stopped sending heartbeats."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs():
        await manager.retry_job(job)


@platform_task(name="prune_finished_jobs", cron="23 * * * *")
async def prune_finished_jobs(context: JobContext) -> None:
    await context.app.job_manager.delete_old_jobs(nb_hours=FINISHED_JOBS_HOURS)
    await context.app.job_manager.delete_old_jobs(nb_hours=FAILED_JOBS_HOURS, include_failed=True)


@organization_task(name="send_mail", owns_transactions=True)
def send_mail(organization_id: UUID, *, mail_id: str) -> None:
    mails.send_mail(organization_id, mail_id=UUID(mail_id))
