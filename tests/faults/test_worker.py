"""A worker is killed at any point, or cut off: each job's effect comes once, and a mail twice at most, as the same one."""

import random
import threading
import time
from contextlib import ExitStack

import psycopg
import pytest

from tenancy.context import org_context
from tenancy.jobs import defer, defer_once
from tenancy.mails import queue_mail
from tests.accounts.asking import in_thread, is_waiting
from tests.conftest import manage
from tests.faults.workers import (
    PATIENCE,
    Worker,
    look_dead,
    look_for_the_dead,
    mails_of,
    mails_through,
    run_all,
    take_up,
    times_taken,
    unfinished,
    welcome_of,
)
from tests.project.launching import eventually
from tests.sendgrid import SendGrid

pytestmark = pytest.mark.soak

MAILS = 40
KILLS = 3


@pytest.fixture
def sendgrid():
    with SendGrid() as fake:
        yield fake


@pytest.fixture
def start(owner_connection, sendgrid, tmp_path):
    """Starts workers whose mails go to the fake; none outlives the test."""
    with ExitStack() as stack:

        def start(concurrency=1):
            worker = Worker(
                owner_connection,
                tmp_path / "log",
                "--concurrency",
                str(concurrency),
                **mails_through(sendgrid),
            )
            return stack.enter_context(worker)

        yield start


@pytest.fixture
def in_flight(start, sendgrid):
    """Starts a worker, and returns it once the provider has its mail and has not answered."""

    def in_flight():
        arrived = threading.Event()
        sendgrid.answers.clear()
        sendgrid.on_request = arrived.set
        worker = start()
        assert arrived.wait(PATIENCE)
        return worker

    return in_flight


@pytest.fixture
def holder(owner_connection):
    """A second connection, which holds rows that a worker needs."""
    with psycopg.connect(owner_connection.info.dsn, password=owner_connection.info.password) as connection:
        yield connection


class TestKilledBetweenTwoSteps:
    """The worker waits for a row that we hold, so that it dies just there."""

    def die(self, worker, holder, owner, hold):
        holder.execute(hold)
        assert eventually(lambda: is_waiting(owner)), worker.log.read_text()
        worker.kill()
        holder.rollback()
        look_dead(owner, worker)

    @pytest.fixture
    def finish(self, owner_connection, sendgrid, tmp_path):
        return lambda: take_up(owner_connection, tmp_path / "log", **mails_through(sendgrid))

    def test_before_it_begins(self, alice, owner_connection, holder, sendgrid, start, finish):
        holder.execute("SELECT FROM tenancy_mail FOR UPDATE")
        self.die(start(), holder, owner_connection, "SELECT 1")
        assert sendgrid.took == []
        finish()
        assert times_taken(sendgrid) == {welcome_of(alice).message_id: 1}

    def test_after_the_provider_took_it_and_before_that_is_noted(
        self, alice, owner_connection, holder, sendgrid, start, finish
    ):
        sendgrid.on_request = lambda: holder.execute("SELECT FROM tenancy_mail FOR UPDATE")
        worker = start()
        assert eventually(lambda: sendgrid.took)
        self.die(worker, holder, owner_connection, "SELECT 1")
        sendgrid.on_request = lambda: None
        assert welcome_of(alice).state == "sending"
        finish()
        # Nobody can know: as the same mail, which a mailbox knows again.
        assert times_taken(sendgrid) == {welcome_of(alice).message_id: 2}
        assert welcome_of(alice).state == "sent"

    def test_after_its_end_and_before_the_queue_knows(
        self, alice, owner_connection, holder, sendgrid, start, finish
    ):
        sendgrid.on_request = lambda: holder.execute(
            "SELECT FROM procrastinate_jobs WHERE task_name = 'send_mail' FOR UPDATE"
        )
        worker = start()
        assert eventually(lambda: welcome_of(alice).state == "sent")
        self.die(worker, holder, owner_connection, "SELECT 1")
        sendgrid.on_request = lambda: None
        finish()
        assert times_taken(sendgrid) == {welcome_of(alice).message_id: 1}


@pytest.mark.parametrize("seed", [7, 20])
def test_two_workers_die_again_and_again(seed, alice, charlie, owner_connection, sendgrid, start):
    chance = random.Random(seed)
    goes_on = threading.Event()

    def take_a_moment():
        time.sleep(chance.uniform(0.02, 0.1))
        goes_on.wait(30)

    sendgrid.on_request = take_a_moment
    for person in (alice, charlie):
        with org_context(person.organization_id):
            for number in range(MAILS // 2 - 1):
                queue_mail("accounts/welcome", user_id=person.user.id, occasion=str(number))
    workers, dead = [start(2), start(2)], []
    for moment in sorted(chance.sample(range(MAILS - 10), KILLS)):
        goes_on.set()
        assert eventually(lambda moment=moment: len(sendgrid.took) > moment)
        time.sleep(chance.uniform(0, 0.1))
        goes_on.clear()
        dead.append(workers.pop(chance.randrange(2)))
        dead[-1].kill()
        workers.append(start(2))
    goes_on.set()
    assert eventually(lambda: {status for _, status, _ in unfinished(owner_connection)} <= {"doing"})
    for worker in workers:
        worker.stop()
    assert unfinished(owner_connection), "nothing was cut off: the test proves nothing"

    look_dead(owner_connection, *dead)
    take_up(owner_connection, workers[0].log, **mails_through(sendgrid))
    taken = times_taken(sendgrid)
    mails = [mail for person in (alice, charlie) for mail in mails_of(person)]
    assert taken.keys() == {mail.message_id for mail in mails}
    assert len(mails) == MAILS
    for mail in mails:
        assert taken[mail.message_id] <= 1 + min(mail.crashes, 1), (mail.crashes, taken[mail.message_id])
        assert mail.state == ("sent" if mail.crashes < 2 else "unknown")


class TestLooksDead:
    """A step of PostgreSQL's clock, or a machine that slept, makes the last heartbeat an old one."""

    def test_a_living_workers_job_is_not_taken_from_it(
        self, alice, owner_connection, sendgrid, start, in_flight
    ):
        worker = in_flight()
        look_dead(owner_connection, worker)
        start().stop()
        is_known = "SELECT 1 FROM procrastinate_workers WHERE id = %s"
        assert owner_connection.execute(is_known, [worker.id]).fetchone()
        look_for_the_dead(owner_connection)
        looks_dead = threading.Thread(target=keep_looking_dead, args=[owner_connection.info, worker])
        looks_dead.start()
        manage("worker", "--once", **mails_through(sendgrid))
        looks_dead.join()
        assert [status for _, status, _ in unfinished(owner_connection)] == ["doing"]
        sendgrid.answers.set()
        assert eventually(lambda: unfinished(owner_connection) == [])
        assert (times_taken(sendgrid), welcome_of(alice).crashes) == ({welcome_of(alice).message_id: 1}, 0)


def connect(info):
    return psycopg.connect(info.dsn, password=info.password, autocommit=True)


def keep_looking_dead(info, worker):
    """Whatever its heartbeats say, until somebody begins to look for the dead."""
    begun = "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'retry_stalled_jobs' AND status <> 'todo'"
    with connect(info) as owner:
        while not owner.execute(begun).fetchone():
            look_dead(owner, worker)


def test_a_line_to_postgresql_that_is_cut_leaves_no_job_running(
    alice, owner_connection, superuser_url, holder, sendgrid, start
):
    sendgrid.on_request = lambda: holder.execute(
        "SELECT FROM procrastinate_jobs WHERE task_name = 'send_mail' FOR UPDATE"
    )
    worker = start()
    assert eventually(lambda: is_waiting(owner_connection), seconds=PATIENCE), worker.log.read_text()
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'saas_worker' AND datname = %s",
            [owner_connection.info.dbname],
        )
    holder.rollback()
    assert eventually(lambda: unfinished(owner_connection) == []), worker.log.read_text()
    assert times_taken(sendgrid) == {welcome_of(alice).message_id: 1}


class TestQueueingLocks:
    """Two jobs under one such lock: one runs, the other waits."""

    @pytest.fixture
    def twins(self, alice, owner_connection, sendgrid):
        owner_connection.execute("DELETE FROM procrastinate_jobs")
        mail_id = str(welcome_of(alice).id)
        with org_context(alice.organization_id):
            first = defer("send_mail", queueing_lock="one", mail_id=mail_id)
        owner_connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [first])
        with org_context(alice.organization_id):
            return first, defer("send_mail", queueing_lock="one", mail_id=mail_id)

    def test_of_a_dead_workers_job_and_its_twin_one_is_left(self, twins, owner_connection, sendgrid):
        # The twin waits for an hour, as what failed does.
        owner_connection.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour' WHERE id = %s", [twins[1]]
        )
        look_for_the_dead(owner_connection)
        manage("worker", "--once", **mails_through(sendgrid))
        run_all(owner_connection, **mails_through(sendgrid))
        jobs = owner_connection.execute(
            "SELECT id, status::text FROM procrastinate_jobs WHERE task_name = 'send_mail'"
        )
        assert jobs.fetchall() == [(twins[1], "succeeded")]
        assert len(sendgrid.took) == 1

    def test_a_job_that_fails_beside_its_twin_ends(self, twins, alice, owner_connection, sendgrid):
        sendgrid.status = 503
        first, _ = twins
        owner_connection.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [first])
        sendgrid.on_request = lambda: in_thread(self.defer_again, alice)
        manage("worker", "--once", **mails_through(sendgrid))
        sendgrid.on_request = lambda: None
        sendgrid.status = 202
        run_all(owner_connection, **mails_through(sendgrid))
        assert unfinished(owner_connection) == []
        assert len(sendgrid.took) == 1

    def defer_again(self, alice):
        with org_context(alice.organization_id):
            defer_once("send_mail", queueing_lock="one", mail_id=str(welcome_of(alice).id))

    def test_a_periodic_job_that_still_waits_stops_no_worker(self, owner_connection, start):
        owner_connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, queueing_lock, scheduled_at) VALUES "
            "('default', 'match_parked_stripe_events', '{\"timestamp\": 0}', 'match_parked_stripe_events', "
            "now() + interval '1 hour')"
        )
        worker = start()
        others = "SELECT 1 FROM procrastinate_periodic_defers WHERE task_name = 'retry_stalled_jobs'"
        assert eventually(lambda: owner_connection.execute(others).fetchone())
        time.sleep(2)
        worker.stop()
        assert "deferrer failed" not in worker.log.read_text()
