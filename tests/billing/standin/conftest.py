"""A stand-in on a port of its own, and the real library pointed at it, every call checked."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import stripe

from billing.standin.server import StandIn
from tests.billing.contract import ContractClient

SECRET = "whsec_tests"
API_KEY = "sk_test_for_the_stand_in"


@contextmanager
def library(standin, *, http_client=None, api_key=API_KEY, retries=0):
    http_client = http_client or ContractClient(timeout=10)
    try:
        yield stripe.StripeClient(
            api_key,
            base_addresses={"api": standin.url},
            http_client=http_client,
            max_network_retries=retries,
        )
    finally:
        http_client.close()


@pytest.fixture
def standin():
    with StandIn(api_key=API_KEY, webhook_secret=SECRET) as standin:
        yield standin


@pytest.fixture
def client(standin):
    with library(standin) as client:
        yield client.v1


@pytest.fixture
def unchecked(standin):
    """The library without the checker, for calls that Stripe's own server must refuse."""
    with library(standin, http_client=stripe.RequestsClient(timeout=10)) as client:
        yield client.v1


@pytest.fixture
def customer(client):
    return client.customers.create({"email": "alice@acme.test", "name": "Acme", "metadata": {"org_id": "7"}})


@pytest.fixture
def price(client):
    return make_price(client, "starter", 900)


@pytest.fixture
def yearly(client, price):
    return client.prices.create(
        {
            "currency": "usd",
            "unit_amount": 9000,
            "product": "starter",
            "lookup_key": "starter_yearly",
            "recurring": {"interval": "year"},
        }
    )


def make_price(client, plan, amount):
    client.products.create({"id": plan, "name": plan.title()})
    return client.prices.create(
        {
            "currency": "usd",
            "unit_amount": amount,
            "product": plan,
            "lookup_key": f"{plan}_monthly",
            "recurring": {"interval": "month"},
        }
    )


@pytest.fixture
def open_checkout(client, customer, price):
    def make(**more):
        return client.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": customer.id,
                "client_reference_id": "7",
                "metadata": {"org_id": "7"},
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://shop.test/done?session={CHECKOUT_SESSION_ID}",
                "cancel_url": "https://shop.test/plans",
                **more,
            }
        )

    return make


@pytest.fixture
def subscribed(standin, open_checkout):
    """The id of a paid, active subscription; what led to it is forgotten as events."""
    session = standin.book.pay(open_checkout().id)
    standin.book.events.clear()
    return session["subscription"]


@pytest.fixture
def on_trial(standin, open_checkout):
    session = standin.book.pay(open_checkout(subscription_data={"trial_period_days": 14}).id)
    standin.book.events.clear()
    return session["subscription"]


def kinds(standin):
    return [event["type"] for event in standin.events()]


class Receiver:
    """A webhook's other end: keeps what arrives, answers what it is told."""

    def __init__(self):
        self.arrived = []
        self.answers = []
        self.news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(body, self.headers["Stripe-Signature"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/stripe?a=b"

    def take(self, body, signature):
        with self.news:
            self.arrived.append((body, signature))
            self.news.notify_all()
            return self.answers.pop(0) if self.answers else 200

    def wait_for(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.arrived) >= count, timeout=10), self.arrived


@pytest.fixture
def receiver():
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def http():
    with requests.Session() as session:
        yield session
