"""Checkout sessions and what paying one does."""

import pytest
import stripe

from billing.standin.errors import StripeFailure
from tests.billing.standin.conftest import kinds

PAID = [
    "payment_method.attached",
    "customer.updated",
    "customer.subscription.created",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.subscription.updated",
    "checkout.session.completed",
]


class TestCreating:
    def test_it_is_open_and_has_a_page(self, standin, client, open_checkout, customer):
        session = open_checkout(expires_at=standin.book.now() + 3600, allow_promotion_codes=True)
        assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 900)
        assert session.url == f"{standin.url}/checkout/{session.id}"
        found = client.checkout.sessions.retrieve(session.id, {"expand": ["line_items", "customer"]})
        assert found.line_items.data[0].price.lookup_key == "starter_monthly"
        assert found.customer.email == "alice@acme.test"
        assert client.checkout.sessions.line_items.list(session.id).data[0].quantity == 1

    def test_it_is_listed_by_customer_and_status(self, standin, client, open_checkout, customer):
        first, second = open_checkout(), open_checkout()
        standin.book.pay(first.id)
        listed = client.checkout.sessions.list({"customer": customer.id, "status": "open"})
        assert [row.id for row in listed.data] == [second.id]

    @pytest.mark.parametrize(
        ("more", "param"),
        [
            ({"line_items": [{"price": "price_nothing"}]}, "line_items[0][price]"),
            ({"customer": "cus_nothing"}, "customer"),
            ({"customer_email": "bob@acme.test"}, "customer"),
            ({"expires_at": 5}, "expires_at"),
            ({"subscription_data": {"trial_period_days": 0}}, "subscription_data[trial_period_days]"),
        ],
    )
    def test_it_refuses(self, open_checkout, more, param):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            open_checkout(**more)
        assert (refused.value.http_status, refused.value.param) == (400, param)

    def test_it_refuses_an_inactive_price(self, client, open_checkout, price):
        client.prices.update(price.id, {"active": False})
        with pytest.raises(stripe.InvalidRequestError, match="inactive"):
            open_checkout()

    def test_it_refuses_a_price_that_does_not_recur(self, client, open_checkout, price):
        once = client.prices.create({"currency": "usd", "unit_amount": 5, "product": "starter"})
        with pytest.raises(stripe.InvalidRequestError, match="one_time"):
            open_checkout(line_items=[{"price": once.id, "quantity": 1}])


class TestPaying:
    def test_it_subscribes(self, standin, client, open_checkout, customer):
        session = open_checkout(subscription_data={"metadata": {"org_id": "7"}})
        standin.book.events.clear()
        standin.book.pay(session.id)
        paid = client.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
        assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
        assert paid.subscription.status == "active"
        assert paid.subscription.metadata.to_dict() == {"org_id": "7"}
        assert (paid.invoice.status, paid.invoice.amount_paid) == ("paid", 900)
        assert paid.invoice.billing_reason == "subscription_create"
        assert kinds(standin) == PAID

    def test_the_events_tell_the_story(self, standin, open_checkout):
        session = standin.book.pay(open_checkout().id)
        (created,) = standin.events("customer.subscription.created")
        (updated,) = standin.events("customer.subscription.updated")
        (paid,) = standin.events("invoice.paid")
        assert created["data"]["object"]["status"] == "incomplete"
        assert updated["data"]["object"]["status"] == "active"
        assert updated["data"]["previous_attributes"] == {"status": "incomplete"}
        parent = paid["data"]["object"]["parent"]["subscription_details"]
        assert parent["subscription"] == session["subscription"]

    def test_a_trial_costs_nothing_yet(self, standin, client, open_checkout):
        session = open_checkout(subscription_data={"trial_period_days": 14})
        standin.book.events.clear()
        standin.book.pay(session.id)
        paid = client.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
        subscription = paid.subscription
        assert (subscription.status, paid.payment_status) == ("trialing", "no_payment_required")
        assert subscription.trial_end - subscription.trial_start == 14 * 24 * 3600
        assert subscription["items"].data[0].current_period_end == subscription.trial_end
        assert (subscription.latest_invoice.status, subscription.latest_invoice.total) == ("paid", 0)
        assert kinds(standin) == [kind for kind in PAID if kind != "customer.subscription.updated"]

    def test_a_trial_of_three_days_is_about_to_end_at_once(self, standin, open_checkout):
        standin.book.pay(open_checkout(subscription_data={"trial_period_days": 3}).id)
        assert len(standin.events("customer.subscription.trial_will_end")) == 1

    def test_a_declined_card_leaves_it_open(self, standin, client, open_checkout):
        session = open_checkout()
        before = kinds(standin)
        with pytest.raises(StripeFailure, match="declined"):
            standin.book.decline(session.id)
        assert client.checkout.sessions.retrieve(session.id).status == "open"
        assert kinds(standin) == before

    def test_it_cannot_be_paid_twice(self, standin, open_checkout):
        session = open_checkout()
        standin.book.pay(session.id)
        with pytest.raises(StripeFailure, match="complete"):
            standin.book.pay(session.id)
        assert len(standin.book.subscriptions) == 1

    def test_without_a_customer_it_makes_one(self, standin, client, price):
        session = client.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 3}],
                "success_url": "https://shop.test/",
                "customer_email": "bob@acme.test",
            }
        )
        paid = standin.book.pay(session.id)
        assert client.customers.retrieve(paid["customer"]).email == "bob@acme.test"
        assert paid["amount_total"] == 2700


class TestExpiring:
    def test_by_hand(self, standin, client, open_checkout):
        session = open_checkout()
        assert client.checkout.sessions.expire(session.id).status == "expired"
        assert kinds(standin)[-1] == "checkout.session.expired"
        with pytest.raises(StripeFailure, match="expired"):
            standin.book.pay(session.id)
        with pytest.raises(stripe.InvalidRequestError):
            client.checkout.sessions.expire(session.id)

    def test_by_time(self, standin, client, open_checkout):
        session = open_checkout()
        now = standin.book.now()
        standin.book.clock = lambda: now + 25 * 3600
        assert client.checkout.sessions.retrieve(session.id).status == "expired"
        assert len(standin.events("checkout.session.expired")) == 1
