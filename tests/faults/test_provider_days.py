"""Stripe and the mail provider are down for a day: all waits, and then comes once each, the oldest first.

But for the one that finds the mail provider back: with it, all that waits is due.
"""

import socket
from contextlib import suppress

import pytest

from billing.standin.faults import always
from saas.launcher.processes import free_port
from tenancy.context import org_context
from tenancy.mails import queue_mail
from tests.billing.conftest import API_KEY, WEBHOOK_SECRET, events_of, organization_of, subscriptions_of
from tests.billing.conftest import catalogue as catalogue
from tests.billing.conftest import stripe as stripe
from tests.faults.proxy import Proxy
from tests.faults.workers import PATIENCE, Worker, mails_through, message_id, times_taken, unfinished
from tests.project.launching import eventually
from tests.sendgrid import SendGrid

pytestmark = pytest.mark.soak

HOURS = 24
NEWS_OF_STRIPE = (1, 5, 9, 13)
# Once each, since each job is held for as long as a connection, or an answer, may take.
UNREACHABLE = (1,)
SILENT = (4,)

TRIES = "SELECT id, attempts FROM procrastinate_jobs WHERE organization_id IS NOT NULL AND status IN ('todo', 'doing')"
AN_HOUR_PASSES = """
    UPDATE procrastinate_jobs SET scheduled_at = scheduled_at - interval '1 hour'
    WHERE status = 'todo' AND scheduled_at > now() AND organization_id IS NOT NULL AND task_name = ANY (%s)
"""
DUE = "SELECT id FROM procrastinate_jobs WHERE status = 'doing' OR status = 'todo' AND scheduled_at <= now()"
STRIPES = ["apply_stripe_event", "refresh_subscription"]


class Door:
    """A port before a server: open, refusing, or one where connections are never taken."""

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self._proxy = None
        self._waiting = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self.refuse()
        self._proxy = Proxy(self.target, self.port)

    def refuse(self):
        if self._proxy:
            self._proxy.close()
            self._proxy = None
        for each in self._waiting:
            each.close()
        self._waiting.clear()

    def take_nobody(self):
        self.refuse()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self._waiting.append(listener)
        # Whoever is in front in the queue keeps it full.
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", self.port))
            self._waiting.append(client)


@pytest.fixture
def sendgrid():
    with SendGrid() as fake:
        yield fake


@pytest.fixture
def doors(sendgrid, stripe, settings):
    """The mail provider's and Stripe's."""
    doors = [Door(("127.0.0.1", server.server_port)) for server in (sendgrid.server, stripe.standin.server)]
    for door in doors:
        door.open()
    settings.STRIPE_API_BASE = doors[1].url
    yield doors
    for door in doors:
        door.refuse()


@pytest.fixture
def worker(doors, owner_connection, tmp_path, sendgrid):
    variables = mails_through(sendgrid) | {
        "SENDGRID_API_URL": f"{doors[0].url}/v3/",
        "STRIPE_SECRET_KEY": API_KEY,
        "STRIPE_API_BASE": doors[1].url,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
    # One job after another, so that their order shows.
    with Worker(owner_connection, tmp_path / "log", "--concurrency", "1", **variables) as worker:
        yield worker


def go_down(hour, doors, sendgrid, standin):
    """In another way each hour: no connection, an answer that says so, no answer to a connection or to a mail."""
    for door in doors:
        if hour in UNREACHABLE:
            door.take_nobody()
        elif hour % 2 or hour in SILENT:
            door.open()
        else:
            door.refuse()
    sendgrid.status = 503
    sendgrid.is_silent = hour in SILENT
    standin.fault = always("status", 503)


def test_a_day(alice, charlie, doors, worker, sendgrid, stripe, owner_connection):
    subscription = stripe.subscribe(alice)
    stripe.book.end_trial(subscription, succeeds=True)
    news = stripe.take_new()
    assert eventually(lambda: unfinished(owner_connection) == [], seconds=PATIENCE), worker.log.read_text()
    sendgrid.took.clear()
    stripe.standin.requests.clear()

    for hour in range(HOURS):
        go_down(hour, doors, sendgrid, stripe.standin)
        if hour % 2 == 0:
            welcome((alice, charlie)[hour % 4 == 0], occasion=str(hour))
        if hour in NEWS_OF_STRIPE and news:
            stripe.deliver(news.pop(0))
        before = dict(owner_connection.execute(TRIES).fetchall())
        owner_connection.execute(AN_HOUR_PASSES, [[*STRIPES, "send_mail"]])
        due = {job: before[job] for (job,) in owner_connection.execute(DUE).fetchall() if job in before}
        assert eventually(lambda due=due: all_tried(owner_connection, due), seconds=PATIENCE)
    assert sendgrid.took == []
    waiting = unfinished(owner_connection)
    assert {status for _, status, _ in waiting} == {"todo"}, waiting
    assert {"send_mail", "refresh_subscription"} <= {task for task, _, _ in waiting}

    while news:
        stripe.deliver(news.pop(0))
    sendgrid.status = 202
    stripe.standin.fault = None
    stripe.standin.requests.clear()
    for door in doors:
        door.open()
    owner_connection.execute(AN_HOUR_PASSES, [STRIPES])
    welcome(alice, occasion="the day after")
    assert eventually(lambda: unfinished(owner_connection) == [], seconds=PATIENCE), worker.log.read_text()

    first, *rest = [message_id(mail) for mail in sendgrid.took]
    assert rest == [each for each in in_order_of_the_queue(owner_connection) if each != first]
    assert len(rest) >= HOURS // 2
    assert set(times_taken(sendgrid).values()) == {1}
    assert {event.state for event in events_of(alice)} <= {"processed", "stale"}
    assert {event.attempts for event in events_of(alice)} == {1}
    assert [row.status for row in subscriptions_of(alice)] == ["active"]
    assert organization_of(alice).plan == "starter"
    # However often it was wanted meanwhile, Stripe is asked once for it.
    assert len(stripe.calls("GET", f"/v1/subscriptions/{subscription}")) == 1


def welcome(person, occasion):
    with org_context(person.organization_id):
        queue_mail("accounts/welcome", user_id=person.user.id, occasion=occasion)


def all_tried(owner, before):
    """But for what is done, such as the job that looks after an event which web applied."""
    now = dict(owner.execute(TRIES).fetchall())
    return all(now.get(job, tries + 1) > tries for job, tries in before.items())


def in_order_of_the_queue(owner):
    """Of what had waited; the welcomes went before."""
    rows = owner.execute(
        "SELECT m.message_id FROM procrastinate_jobs j JOIN tenancy_mail m ON m.id::text = j.args ->> 'mail_id' "
        "WHERE m.occasion <> '' ORDER BY j.id"
    )
    return [each for (each,) in rows]
