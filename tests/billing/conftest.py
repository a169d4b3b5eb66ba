"""Billing against the stand-in, with the real library and every call checked against Stripe's own description."""

import itertools
import time

import pytest
from django.test import Client
from django.test.utils import override_settings

from billing import stripe_client
from billing.models import Customer, StripeEvent, Subscription
from billing.services.catalogue import bring_in_step, differences
from billing.standin.server import StandIn
from tenancy.context import org_context
from tenancy.models import Mail, Organization
from tests.billing.contract import ContractClient, find_operation

WEBHOOK_SECRET = "whsec_of_the_tests"
API_KEY = "sk_test_of_the_tests"


class CheckedClient(stripe_client.BoundedClient, ContractClient):
    """What the application calls Stripe with, and each call held to Stripe's description."""


class Stripe:
    """The stand-in, and what tests do with it."""

    def __init__(self, standin):
        self.standin = standin
        self.book = standin.book
        # Each moment is a second of its own, as it is between a customer's steps.
        self.book.clock = itertools.count(int(time.time()) - 3600).__next__

    def deliver(self, *events):
        """Post events as Stripe does, signed; the answers' results."""
        return [self.post(*self.standin.signed(event)).json()["result"] for event in events]

    def post(self, body, headers):
        headers = {name: value for name, value in headers.items() if name != "Content-Type"}
        return Client().post("/webhooks/stripe", body, content_type="application/json", headers=headers)

    def deliver_new(self):
        """Everything that happened since the last time, in its order."""
        return self.deliver(*self.take_new())

    def take_new(self):
        events = self.standin.events()
        self.book.events.clear()
        return events

    def subscribe(self, person, plan="starter", interval="monthly"):
        """Check out and pay; the subscription's id. The events are waiting to be delivered."""
        checkout = person.api.post("/payments/checkout", {"plan": plan, "interval": interval})
        assert checkout.status_code == 201, checkout.content
        return self.book.pay(checkout.json()["id"])["subscription"]

    def check_calls(self):
        """Whatever process made them: each must be one that Stripe would take."""
        for method, path, parameters, _ in self.standin.requests:
            find_operation(method.lower(), path).check_call(parameters)

    def calls(self, method, path):
        return [call for call in self.standin.requests if call[:2] == (method, path)]


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    """A stand-in's state with the plans in it, made once."""
    file = tmp_path_factory.mktemp("stripe") / "catalogue.json"
    with (
        StandIn(state=file, api_key=API_KEY) as standin,
        override_settings(STRIPE_SECRET_KEY=API_KEY, STRIPE_API_BASE=standin.url),
    ):
        bring_in_step(differences())
        Stripe(standin).check_calls()
    return file.read_text()


@pytest.fixture
def stripe(settings, monkeypatch, catalogue, tmp_path):
    state = tmp_path / "stripe.json"
    state.write_text(catalogue)
    with StandIn(state=state, api_key=API_KEY, webhook_secret=WEBHOOK_SECRET) as standin:
        standin.book.events.clear()
        settings.STRIPE_SECRET_KEY = API_KEY
        settings.STRIPE_API_BASE = standin.url
        settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
        clients = []

        def checked(seconds):
            clients.append(CheckedClient(seconds))
            return clients[-1]

        monkeypatch.setattr(stripe_client, "http_client", checked)
        stripe = Stripe(standin)
        yield stripe
        stripe.check_calls()
        for client in clients:
            client.close()


def organization_of(person):
    with org_context(person.organization_id):
        return Organization.objects.get()


def subscriptions_of(person):
    with org_context(person.organization_id):
        return list(Subscription.objects.order_by("started_at"))


def customer_of(person):
    with org_context(person.organization_id):
        return Customer.objects.get()


def events_of(person):
    with org_context(person.organization_id):
        return list(StripeEvent.objects.order_by("created"))


def mails_to(person):
    """The billing mails queued for a person, by kind."""
    with org_context(person.organization_id):
        mails = Mail.objects.filter(user_id=person.user.id, message__startswith="billing/")
        return sorted(mail.message.removeprefix("billing/") for mail in mails)
