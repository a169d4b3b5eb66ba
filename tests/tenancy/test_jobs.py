"""Jobs are enqueued with the caller's transaction, and run in the organization that the database stamped."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import uuid4

import pytest
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException

from accounts.models import User
from tenancy import tasks
from tenancy.checks import check_tasks
from tenancy.context import (
    NoOrganizationContext,
    current_organization_id,
    org_context,
    organization_in_force,
)
from tenancy.jobs import UnknownTask, defer, defer_once, organization_task, watch_tries
from tenancy.mail_failures import AnswerLost
from tenancy.mails import queue_mail
from tenancy.models import Mail
from tenancy.retries import MAX_ATTEMPTS, WAITS, Recovery, UntilItLands
from tests.conftest import Api, manage
from tests.project.launching import eventually

JOBS = "SELECT task_name, status::text, organization_id FROM procrastinate_jobs ORDER BY id"


class TestDefer:
    def test_it_rolls_back_with_the_caller(self, alice, owner_connection):
        before = owner_connection.execute(JOBS).fetchall()
        assert before == [("send_mail", "todo", alice.organization_id)]
        with pytest.raises(KeyError), org_context(alice.organization_id):
            defer("blacklist_sessions", sessions={})
            raise KeyError
        assert owner_connection.execute(JOBS).fetchall() == before

    def test_locks_count_within_the_organization(self, alice, charlie, owner_connection):
        people = (alice, charlie)
        for expected in (True, False):
            for person in people:
                with org_context(person.organization_id):
                    job = defer_once("blacklist_sessions", queueing_lock="only", lock="mine", sessions={})
                    assert (job is not None) is expected
        locks = owner_connection.execute(
            "SELECT lock, queueing_lock FROM procrastinate_jobs WHERE lock IS NOT NULL ORDER BY id"
        ).fetchall()
        assert locks == [(f"{p.organization_id}:mine", f"{p.organization_id}:only") for p in people]

    def test_it_refuses_without_a_context(self):
        with pytest.raises(NoOrganizationContext):
            defer("blacklist_sessions", sessions={})

    @pytest.mark.parametrize("name", ["prune_sessions", "no_such_task"])
    def test_it_refuses_what_is_no_organizations_task(self, alice, name):
        with pytest.raises(UnknownTask), org_context(alice.organization_id):
            defer(name)

    def test_the_librarys_own_way_is_refused_to_the_app_role(self, alice, monkeypatch):
        monkeypatch.setattr(tasks.send_mail.blueprint.connector, "alias", "default")
        with pytest.raises(ConnectorException) as refusal:
            tasks.send_mail.defer(mail_id=str(uuid4()))
        assert "permission denied" in str(refusal.value.__cause__)


class TestWorker:
    def test_it_runs_a_job_in_its_organization(self, alice, owner_connection, tmp_path):
        done = manage("worker", "--once", EMAIL_BACKEND="django.core.mail.backends.console.EmailBackend")
        assert "Welcome to Acme" in done.stdout
        assert "alice@acme.example" in done.stdout
        jobs = [row for row in owner_connection.execute(JOBS) if row[0] == "send_mail"]
        assert jobs == [("send_mail", "succeeded", alice.organization_id)]

    def test_it_reaches_nobody_elses_rows(self, alice, charlie, owner_connection):
        owner_connection.execute("DELETE FROM procrastinate_jobs")
        with org_context(charlie.organization_id):
            mail = Mail.objects.get()
        with org_context(alice.organization_id):
            defer("send_mail", mail_id=str(mail.id))
        done = manage("worker", "--once", EMAIL_BACKEND="django.core.mail.backends.console.EmailBackend")
        assert "Subject" not in done.stdout
        assert "globex" not in done.stdout

    def test_a_platform_task_refuses_a_stamped_job(self, alice, owner_connection):
        owner_connection.execute("DELETE FROM procrastinate_jobs")
        with org_context(alice.organization_id):
            job = defer("send_mail", mail_id=str(uuid4()))
        owner_connection.execute(
            "UPDATE procrastinate_jobs SET task_name = 'prune_sessions', args = '{\"timestamp\": 0}' WHERE id = %s",
            [job],
        )
        manage("worker", "--once")
        status = owner_connection.execute("SELECT status::text FROM procrastinate_jobs WHERE id = %s", [job])
        assert status.fetchone() == ("failed",)

    def test_a_try_that_failed_is_logged_while_others_are_left(self, alice, owner_connection):
        done = manage("worker", "--once", EMAIL_FILE_PATH="/dev/null/mail")
        assert "Try 1 of job" in done.stderr
        assert "(send_mail) failed" in done.stderr
        assert "/dev/null/mail" in done.stderr
        assert owner_connection.execute(JOBS).fetchall()[0] == ("send_mail", "todo", alice.organization_id)

    def test_once_runs_what_its_jobs_enqueue_however_slow_they_are(self, alice, owner_connection):
        owner_connection.execute("DELETE FROM procrastinate_jobs")
        Api().post("/auth/password/forgot", {"email": alice.user.email})
        with owner_connection.transaction(), ThreadPoolExecutor() as pool:
            owner_connection.execute("LOCK tenancy_mail IN SHARE MODE")
            done = pool.submit(manage, "worker", "--once")
            assert eventually(
                lambda: (
                    owner_connection.execute(
                        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tenancy_mail'::regclass"
                    ).fetchone()
                    == (1,)
                )
            )
            # By now it has looked for more, and there was none.
            time.sleep(1)
            owner_connection.execute("COMMIT")
            done.result()
        assert {row[:2] for row in owner_connection.execute(JOBS)} >= {
            ("mail_reset_link", "succeeded"),
            ("send_mail", "succeeded"),
        }


def test_an_organizations_task_runs_inside_its_context(alice, charlie):
    seen = []

    @organization_task(name="look_around")
    def look_around(*, wanted):
        seen.extend([current_organization_id(), list(User.objects.values_list("name", flat=True)), wanted])

    try:
        with org_context(charlie.organization_id):
            job = defer("look_around", wanted="all")
        look_around(SimpleNamespace(job=SimpleNamespace(id=job)), wanted="all")
    finally:
        del app.tasks["look_around"]
    assert seen == [charlie.organization_id, ["Charlie"], "all"]
    assert organization_in_force() is None


def test_a_task_of_neither_kind_is_reported():
    assert check_tasks(None) == []
    app.task(name="library:clean_up")(lambda: None)
    try:
        assert [message.id for message in check_tasks(None)] == ["tenancy.E004", "tenancy.E005"]
    finally:
        del app.tasks["library:clean_up"]


class TestRetries:
    def test_they_go_on_for_three_days(self, fake_clock):
        first = fake_clock.moment
        for attempts in range(MAX_ATTEMPTS):
            fake_clock.moment = next_try(attempts)
        assert next_try(MAX_ATTEMPTS) is None
        assert timedelta(days=3) <= fake_clock.moment - first < timedelta(days=3, hours=2)

    def test_what_waits_for_an_hour_is_due_at_the_same_moment(self, fake_clock):
        fake_clock.moment = datetime(2026, 3, 1, 10, 7, 12, tzinfo=UTC)
        older = next_try(30)
        fake_clock.advance(minutes=50)
        assert next_try(5) == older == datetime(2026, 3, 1, 11, tzinfo=UTC)
        # And what failed for the first time just now is due sooner, but on one of these moments too.
        assert next_try(0) == datetime(2026, 3, 1, 10, 57, 15, tzinfo=UTC)
        assert [wait % before for before, wait in pairwise(WAITS)] == [0] * (len(WAITS) - 1)

    def test_an_exception_may_name_its_own_seconds(self, fake_clock):
        assert next_try(0, AnswerLost()) == fake_clock.moment + timedelta(hours=25)


class TestRecovery:
    def test_what_waits_is_due_once_a_try_goes_well_again(self):
        recovery = Recovery()
        assert not recovery.is_back("send_mail", was_tried_before=False)
        recovery.failed("send_mail")
        assert not recovery.is_back("refresh_subscription", was_tried_before=False)
        assert recovery.is_back("send_mail", was_tried_before=False)
        assert not recovery.is_back("send_mail", was_tried_before=False)
        # Another process saw the failure.
        assert recovery.is_back("refresh_subscription", was_tried_before=True)

    def test_a_job_that_always_fails_is_not_woken_by_each_that_does_not(self, monkeypatch):
        recovery, passed = Recovery(), 1000.0
        monkeypatch.setattr("tenancy.retries.monotonic", lambda: passed)
        woken = 0
        for _ in range(100):
            recovery.failed("send_mail")
            woken += recovery.is_back("send_mail", was_tried_before=False)
            passed += 10
        assert woken == 2

    def test_a_job_went_well_though_nobody_could_be_woken(self):
        async def run_job():
            return "done"

        async def lose_it(query, **arguments):
            lost.append(arguments)
            raise ConnectorException

        lost = []
        job = SimpleNamespace(task_name="of_this_test", attempts=1, id=1)
        context = SimpleNamespace(
            job=job, app=SimpleNamespace(connector=SimpleNamespace(execute_query_async=lose_it))
        )
        assert asyncio.run(watch_tries(run_job, context, None)) == "done"
        assert lost == [{"task": "of_this_test"}]

    def test_a_mail_that_need_not_be_sent_wakes_nobody(self, alice, owner_connection):
        wait = "UPDATE procrastinate_jobs SET attempts = 7, scheduled_at = now() + interval '1 hour'"
        waiting = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at > now()"
        owner_connection.execute(wait)
        with org_context(alice.organization_id):
            for _ in range(2):
                defer("send_mail", mail_id=str(uuid4()))
            owner_connection.execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE scheduled_at IS NULL")
        manage("worker", "--once")
        assert owner_connection.execute(waiting).fetchone() == (1,)
        queue_welcome(alice)
        owner_connection.execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE scheduled_at IS NULL")
        manage("worker", "--once")
        assert owner_connection.execute(waiting).fetchone() == (0,)


def queue_welcome(person):
    with org_context(person.organization_id):
        queue_mail("accounts/welcome", user_id=person.user.id, occasion="again")


def next_try(attempts, exception=None):
    job = SimpleNamespace(attempts=attempts)
    decision = UntilItLands().get_retry_decision(exception=exception or KeyError(), job=job)
    return decision and decision.retry_at
