"""Stripe's events over HTTP against real gunicorn, which is killed in the middle: each is applied once, no mail is lost."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from billing.handlers import HANDLERS
from billing.services.catalogue import bring_in_step, differences
from billing.standin.server import StandIn
from tenancy.context import org_context
from tenancy.models import Mail
from tests.accounts.asking import is_waiting
from tests.billing.conftest import Stripe, events_of, mails_to, organization_of, subscriptions_of
from tests.billing.layouts import as_old
from tests.conftest import manage
from tests.project.launching import eventually
from tests.project.serving import running
from tests.sendgrid import KEY, SendGrid

SECRET = "whsec_of_the_fault_tests"
API_KEY = "sk_test_of_the_fault_tests"
WORKERS = 4
FOUR = [
    "checkout.session.completed",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "customer.subscription.deleted",
]
LAYOUTS = {"new": lambda event: event, "old": as_old}


@pytest.fixture(scope="module")
def standin():
    with StandIn(api_key=API_KEY, webhook_secret=SECRET) as standin:
        yield standin


@pytest.fixture(scope="module")
def server(own_database, standin, tmp_path_factory):
    variables = {
        "STRIPE_SECRET_KEY": API_KEY,
        "STRIPE_API_BASE": standin.url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    log = tmp_path_factory.mktemp("billing") / "log"
    with running(log, WEB_WORKERS=str(WORKERS), **variables) as server:
        yield server


@pytest.fixture
def stripe(standin, server, settings):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = API_KEY, standin.url
    bring_in_step(differences())
    standin.book.events.clear()
    stripe = Stripe(standin)
    yield stripe
    stripe.check_calls()
    standin.requests.clear()


def post(server, standin, event):
    """One delivery over a connection of its own; None if it was cut off."""
    body, headers = standin.signed(event)
    with closing(server.connect()) as connection:
        try:
            connection.connect()
        except OSError:
            return 0, {}  # Nobody listens just now.
        try:
            connection.request("POST", "/webhooks/stripe", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, json.JSONDecodeError, ValueError):
            return None
        except Exception as error:
            if type(error).__module__ == "http.client":
                return None
            raise


def tries(server, standin, event, *, seconds):
    """As Stripe does: again and again until it is answered with 2xx; yields the answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = post(server, standin, event)
        yield answer
        if answer and answer[0] == 200:
            return
        time.sleep(0.05)
    raise AssertionError(f"{event['type']} could not be delivered")


def deliver(server, standin, event):
    *_, (_, answer) = tries(server, standin, event, seconds=60)
    return answer["result"]


def run_worker(**variables):
    """All jobs, those that are meant for later included."""
    with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as owner:
        owner.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    return manage("worker", "--once", **variables)


def life(stripe, person):
    """From a trial's end over a failed renewal to the end."""
    subscription = stripe.subscribe(person)
    stripe.book.end_trial(subscription, succeeds=True)
    stripe.book.renew(subscription, succeeds=False)
    stripe.book.cancel(subscription)
    return stripe.take_new()


@pytest.mark.parametrize("layout", LAYOUTS)
class TestTheFourEvents:
    """Each over HTTP; Stripe knows the subscription no longer, so that the event's own layout is what is read."""

    @pytest.fixture
    def told(self, stripe, server, standin, alice, layout):
        events = {event["type"]: LAYOUTS[layout](event) for event in life(stripe, alice)}
        standin.book.subscriptions.clear()

        def tell(kind):
            assert post(server, standin, events[kind]) == (200, {"result": "processed"})
            return events[kind]["data"]["object"]

        return tell

    def test_row_and_mail_are_right(self, told, alice, layout):
        told("checkout.session.completed")
        [row] = subscriptions_of(alice)
        assert (row.status, row.plan, row.interval) == ("active", "starter", "monthly")
        assert (organization_of(alice).plan, organization_of(alice).access) == ("starter", "full")
        assert mails_to(alice) == ["subscription_activated"]

        invoice = told("invoice.payment_succeeded")
        [row] = subscriptions_of(alice)
        paid_until = max(line["period"]["end"] for line in invoice["lines"]["data"])
        assert row.state.current_period_end.timestamp() == paid_until
        assert mails_to(alice) == ["payment_received", "subscription_activated"]

        told("invoice.payment_failed")
        assert organization_of(alice).access == "read_only"
        assert mails_to(alice)[0] == "payment_failed"

        told("customer.subscription.deleted")
        [row] = subscriptions_of(alice)
        assert (row.status, row.ended_at is not None) == ("canceled", True)
        organization = organization_of(alice)
        assert (organization.plan, organization.access, organization.seat_limit) == ("free", "full", 3)
        assert mails_to(alice)[-1] == "subscription_cancelled"


def test_eight_clients_deliver_everything_up_to_three_times(stripe, server, standin, alice):
    events = [event for event in life(stripe, alice) for _ in range(random.randint(1, 3))]
    random.shuffle(events)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda event: deliver(server, standin, event), events))
    assert set(results) <= {"processed", "stale", "duplicate", "ignored"}
    stored = events_of(alice)
    assert len({event.stripe_id for event in stored}) == len(stored)
    assert {event.state for event in stored} <= {"processed", "stale"}
    assert {event.attempts for event in stored} == {1}
    [row] = subscriptions_of(alice)
    assert (row.status, organization_of(alice).plan) == ("canceled", "free")
    mails = mails_to(alice)
    assert len(mails) == len(set(mails))
    assert "subscription_cancelled" in mails


def web_workers(server):
    pids = subprocess.run(
        ["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return [int(pid) for pid in pids]


def kill_workers(server):
    for pid in web_workers(server):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class TestGunicornIsKilled:
    def test_between_storing_and_applying_the_job_applies_it(
        self, stripe, server, standin, alice, owner_connection
    ):
        stripe.subscribe(alice)
        [created] = [each for each in stripe.take_new() if each["type"] == "customer.subscription.created"]
        # Whoever applies an event needs the customer's row: it stays stored and unapplied while we hold it.
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as holder:
            holder.execute("SELECT 1 FROM billing_customer FOR UPDATE")
            with ThreadPoolExecutor(1) as pool:
                cut_off = pool.submit(post, server, standin, created)
                assert eventually(lambda: is_waiting(owner_connection))
                kill_workers(server)
                assert cut_off.result() is None
        [event] = events_of(alice)
        assert (event.state, event.attempts) == ("received", 0)
        assert subscriptions_of(alice) == []

        run_worker(**variables_of(standin))
        [event] = events_of(alice)
        assert (event.state, event.attempts) == ("processed", 1)
        assert organization_of(alice).plan == "starter"
        assert mails_to(alice) == ["subscription_activated"]
        assert deliver(server, standin, created) == "duplicate"

    def test_again_and_again(self, stripe, server, standin, alice):
        events = [event for event in life(stripe, alice) if event["type"] in HANDLERS] * 3
        random.shuffle(events)
        with killing(server), ThreadPoolExecutor(4) as pool:
            deliveries = [pool.submit(deliver_slowly, server, standin, event) for event in events]
            cut_off = sum(delivery.result() for delivery in deliveries)
            # On a quick machine the kills may all have met idle workers.
            for event in events * 50:
                if cut_off:
                    break
                cut_off = cuts_of(server, standin, event)
        assert cut_off, "no delivery was cut off"
        assert eventually(server.is_up)
        run_worker(**variables_of(standin))
        stored = events_of(alice)
        assert {event.state for event in stored} <= {"processed", "stale"}
        [row] = subscriptions_of(alice)
        assert (row.status, organization_of(alice).plan) == ("canceled", "free")
        mails = mails_to(alice)
        assert len(mails) == len(set(mails))
        assert "subscription_cancelled" in mails


@contextmanager
def killing(server):
    """Kills all workers again and again, each time once they are up."""
    stop = threading.Event()

    def keep_killing():
        while not stop.wait(random.uniform(1, 3)):
            if server.is_up():
                kill_workers(server)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()


def deliver_slowly(server, standin, event):
    """So that workers die between and within the deliveries; how often this one was cut off."""
    time.sleep(random.uniform(0, 0.8))
    return cuts_of(server, standin, event)


def cuts_of(server, standin, event):
    return list(tries(server, standin, event, seconds=240)).count(None)


def variables_of(standin):
    return {"STRIPE_SECRET_KEY": API_KEY, "STRIPE_API_BASE": standin.url, "STRIPE_WEBHOOK_SECRET": SECRET}


@pytest.mark.soak
class TestWorkerIsKilled:
    """While the provider has the mail and has not answered: nobody can know whether it took it."""

    @pytest.fixture
    def sendgrid(self):
        with SendGrid() as fake:
            yield fake

    @pytest.fixture
    def variables(self, sendgrid):
        return {
            "EMAIL_BACKEND": "anymail.backends.sendgrid.EmailBackend",
            "SENDGRID_API_KEY": KEY,
            "SENDGRID_API_URL": sendgrid.url,
        }

    def run_and_kill(self, sendgrid, variables):
        """A worker that dies with the first mail in flight."""
        arrived, release = threading.Event(), threading.Event()

        def hold():
            arrived.set()
            release.wait(30)

        sendgrid.on_request = hold
        worker = subprocess.Popen(
            [os.sys.executable, "manage.py", "worker", "--concurrency", "1"],
            env={**os.environ, **variables},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert arrived.wait(30), "the worker sent nothing"
        worker.kill()
        worker.wait()
        release.set()
        sendgrid.on_request = lambda: None

    def test_it_is_sent_again_once_under_its_message_id(self, sendgrid, variables, alice, owner_connection):
        self.run_and_kill(sendgrid, variables)
        assert mail_of(alice).state == "sending"
        take_up_stalled_jobs(owner_connection, variables)
        assert mail_of(alice).state == "sent"
        ids = [headers_of(mail)["Message-ID"] for mail in sendgrid.took]
        assert ids == [mail_of(alice).message_id] * 2
        run_worker(**variables)
        assert len(sendgrid.took) == 2

    def test_a_second_time_it_is_given_up_and_flagged(self, sendgrid, variables, alice, owner_connection):
        self.run_and_kill(sendgrid, variables)
        forget_workers(owner_connection)
        owner_connection.execute("UPDATE procrastinate_jobs SET status = 'todo', scheduled_at = NULL")
        self.run_and_kill(sendgrid, variables)
        take_up_stalled_jobs(owner_connection, variables)
        assert mail_of(alice).state == "unknown"
        assert len(sendgrid.took) == 2


def headers_of(mail):
    return mail.get("headers", {}) | mail["personalizations"][0].get("headers", {})


def mail_of(person):
    with org_context(person.organization_id):
        return Mail.objects.get(message="accounts/welcome")


def forget_workers(owner):
    """As if their heartbeats had stopped long ago."""
    owner.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")


def take_up_stalled_jobs(owner, variables):
    """What the periodic task does each minute, and then the jobs that it takes up."""
    forget_workers(owner)
    assert owner.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'").fetchone() == (1,)
    owner.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', 'retry_stalled_jobs', %s)",
        ['{"timestamp": 0}'],
    )
    run_worker(**variables)
    run_worker(**variables)
