"""Background workers in processes of their own, and how they die."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress

from tenancy.context import org_context
from tenancy.models import Mail
from tests.conftest import manage
from tests.project.launching import ROOT, eventually
from tests.sendgrid import KEY

# Machines are busy.
PATIENCE = 180
WORKERS = "SELECT coalesce(max(id), 0) FROM procrastinate_workers"


def mails_through(sendgrid):
    return {
        "EMAIL_BACKEND": "anymail.backends.sendgrid.EmailBackend",
        "SENDGRID_API_KEY": KEY,
        "SENDGRID_API_URL": sendgrid.url,
    }


class Worker:
    """One that runs until it is stopped or killed; `log` is what it said."""

    def __init__(self, owner, log, *options, **variables):
        self.owner = owner
        self.log = log
        before = owner.execute(WORKERS).fetchone()
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", "--poll", "0.1", *options],
                env={**os.environ, **variables},
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        # One is started at a time, so the new row is its own.
        assert eventually(lambda: owner.execute(WORKERS).fetchone() > before, seconds=PATIENCE), (
            log.read_text()
        )
        (self.id,) = owner.execute(WORKERS).fetchone()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        with suppress(ProcessLookupError):
            self.kill()


def look_dead(owner, *workers):
    """As if the last heartbeat had come an hour ago."""
    ids = [worker.id for worker in workers]
    owner.execute(
        "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour' WHERE id = ANY(%s)",
        [ids],
    )


def look_for_the_dead(owner):
    """What happens each minute, at once."""
    owner.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', 'retry_stalled_jobs', %s)",
        ['{"timestamp": 0}'],
    )


def take_up(owner, log, **variables):
    """Jobs of the dead are brought to their end."""
    look_for_the_dead(owner)
    with Worker(owner, log, **variables) as worker:
        assert eventually(lambda: not unfinished(owner), seconds=PATIENCE), log.read_text()
        worker.stop()


def run_all(owner, **variables):
    owner.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    return manage("worker", "--once", **variables)


def unfinished(owner):
    """What a worker still has to do, or died over; the platform's own periodic jobs aside."""
    return owner.execute(
        "SELECT task_name, status::text, attempts FROM procrastinate_jobs "
        "WHERE status <> 'succeeded' AND organization_id IS NOT NULL ORDER BY id"
    ).fetchall()


def message_id(mail):
    headers = mail.get("headers", {}) | mail["personalizations"][0].get("headers", {})
    return headers["Message-ID"]


def times_taken(sendgrid):
    """How often the provider took each mail, by its Message-ID."""
    return Counter(message_id(mail) for mail in sendgrid.took)


def mails_of(person, **wanted):
    with org_context(person.organization_id):
        return list(Mail.objects.filter(**wanted).order_by("created_at", "id"))


def welcome_of(person):
    [mail] = mails_of(person, message="accounts/welcome")
    return mail
