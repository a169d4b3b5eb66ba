"""Events: listed, signed, delivered, tried again."""

import json
import time

import pytest
import stripe

from billing.standin.server import StandIn
from billing.standin.webhooks import sign
from tests.billing.contract import find_operation
from tests.billing.standin.conftest import API_KEY, SECRET, library


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestListing:
    def test_newest_come_first(self, client, customer, price):
        listed = client.events.list({"limit": 2})
        assert [event.type for event in listed.data] == ["price.created", "product.created"]
        assert listed.has_more
        following = client.events.list({"starting_after": listed.data[-1].id})
        assert [event.type for event in following.data] == ["customer.created"]
        assert client.events.retrieve(following.data[0].id).data.object["id"] == customer.id

    @pytest.mark.parametrize(
        "wanted", [{"type": "price.*"}, {"types": ["price.created", "nothing"]}, {"type": "price.created"}]
    )
    def test_by_type(self, client, price, wanted):
        assert [event.type for event in client.events.list(wanted).data] == ["price.created"]

    def test_by_time(self, standin, client, customer):
        now = standin.book.now()
        standin.book.clock = lambda: now + 100
        client.customers.update(customer.id, {"name": "Acme Ltd"})

        def listed(**bounds):
            return [event.type for event in client.events.list({"created": bounds}).data]

        assert listed(gt=now + 50) == listed(gte=now + 100) == ["customer.updated"]
        assert listed(lt=now + 100) == listed(lte=now + 99) == ["customer.created"]

    def test_every_object_fits_stripes_description(self, standin, open_checkout, subscribed, on_trial):
        """Snapshots are built by the same functions as answers, but at moments when no answer shows them."""
        for step in (standin.book.trial_will_end, standin.book.end_trial, standin.book.cancel):
            step(on_trial)
        standin.book.renew(subscribed, succeeds=False)
        standin.book.finish_dunning(subscribed)
        standin.book.expire(open_checkout().id)
        addresses = {
            "subscription": "/v1/subscriptions/x",
            "invoice": "/v1/invoices/x",
            "checkout.session": "/v1/checkout/sessions/x",
        }
        seen = set()
        for event in standin.events():
            thing = event["data"]["object"]
            find_operation("get", "/v1/events/x").check_answer(event)
            if thing["object"] in addresses:
                find_operation("get", addresses[thing["object"]]).check_answer(thing)
                seen.add(thing["object"])
        assert seen == set(addresses)


class TestSigning:
    def test_the_library_accepts_it(self, standin, customer):
        (event,) = standin.events("customer.created")
        body, headers = standin.signed(event)
        read = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
        assert (read.id, read.api_version, read.livemode) == (event["id"], "2026-10-28.endive", False)
        assert stripe.api_version == read.api_version

    @pytest.mark.parametrize(
        "header",
        [sign(b"{}", "whsec_of_someone_else"), sign(b"{ }", SECRET), sign(b"{}", SECRET, timestamp=1), ""],
        ids=["secret", "body", "old", "none"],
    )
    def test_the_library_refuses_anything_else(self, header):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(b"{}", header, SECRET)


class TestDelivering:
    @pytest.fixture
    def standin(self, receiver):
        with StandIn(
            api_key=API_KEY, webhook_url=receiver.url, webhook_secret=SECRET, first_wait=0.01
        ) as standin:
            yield standin

    def test_each_event_arrives_signed_and_in_order(self, standin, client, receiver, customer, price):
        receiver.wait_for(3)
        events = [stripe.Webhook.construct_event(body, header, SECRET) for body, header in receiver.arrived]
        assert [event.type for event in events] == ["customer.created", "product.created", "price.created"]
        until(lambda: client.events.retrieve(events[0].id).pending_webhooks == 0)

    def test_it_tries_again_until_2xx(self, standin, client, receiver):
        receiver.answers = [500, 301, 404]
        client.customers.create({"name": "Acme"})
        receiver.wait_for(4)
        assert len({json.loads(body)["id"] for body, _ in receiver.arrived}) == 1
        until(lambda: standin.events()[0]["pending_webhooks"] == 0)
        time.sleep(0.1)
        assert len(receiver.arrived) == 4

    def test_it_holds_back(self, standin, client, receiver):
        standin.deliver = False
        client.customers.create({"name": "Acme"})
        time.sleep(0.1)
        assert receiver.arrived == []
        standin.deliver = True
        receiver.wait_for(1)


def test_a_receiver_that_is_down_gets_it_after_a_restart(receiver, tmp_path):
    nobody = StandIn()
    nobody.server.server_close()
    path = tmp_path / "state.json"
    with StandIn(api_key=API_KEY, webhook_url=nobody.url, state=path) as standin, library(standin) as client:
        client.v1.customers.create({"name": "Acme"})
    with StandIn(webhook_url=receiver.url, webhook_secret=SECRET, state=path):
        receiver.wait_for(1)
