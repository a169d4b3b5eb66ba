"""Both layouts say the same, and what is missing is not made up."""

import copy

import pytest

from billing.reading import UnknownPrice, read_event, read_payment, read_subscription
from billing.state import Payment
from tests.billing.layouts import as_old, with_expanded_ids

KINDS = [
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.payment_failed",
    "checkout.session.completed",
]


@pytest.fixture
def events(stripe, alice):
    subscription = stripe.subscribe(alice)
    stripe.book.end_trial(subscription, succeeds=True)
    stripe.book.renew(subscription, succeeds=False)
    return {event["type"]: event for event in stripe.take_new()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change", [as_old, with_expanded_ids, lambda event: with_expanded_ids(as_old(event))]
)
def test_every_layout_says_the_same(events, kind, change, alice):
    event, changed = events[kind], change(events[kind])
    facts, other = read_event(event), read_event(changed)
    assert (facts.customer_id, facts.subscription_id) == (other.customer_id, other.subscription_id)
    assert facts.claims == other.claims == [str(alice.organization_id)]
    assert facts.subscription_id.startswith("sub_")
    if kind.startswith("invoice"):
        assert read_payment(facts, Payment.PAID) == read_payment(other, Payment.PAID)
        assert read_payment(facts, Payment.PAID).period_end
    if kind.startswith("customer.subscription"):
        snapshot = read_subscription(facts.object, "key")
        if change is as_old:
            # A price of then had no lookup key: the subscription's own metadata tell the plan.
            changed["data"]["object"]["items"]["data"][0].pop("price")
        assert read_subscription(changed["data"]["object"], "key") == snapshot
        assert snapshot.period_start < snapshot.period_end


def test_an_old_price_still_names_its_plan(events):
    subscription = copy.deepcopy(events["customer.subscription.updated"]["data"]["object"])
    price = subscription["items"]["data"][0]["price"]
    # Its successor took the key over.
    price |= {"lookup_key": None, "metadata": {"lookup_key": "professional_yearly"}}
    assert read_subscription(subscription, "key").plan == "professional"


def test_the_price_wins_over_what_the_checkout_said(events):
    subscription = copy.deepcopy(events["customer.subscription.updated"]["data"]["object"])
    subscription["metadata"] |= {"plan": "professional", "interval": "yearly"}
    assert read_subscription(subscription, "key").plan == "starter"


def test_a_price_of_nothing_is_said_by_its_name(events):
    subscription = copy.deepcopy(events["customer.subscription.updated"]["data"]["object"])
    # That its checkout was ours makes a price no cheaper.
    subscription["items"]["data"][0]["price"] |= {"lookup_key": "gold_monthly", "metadata": {}}
    with pytest.raises(UnknownPrice, match=r"sub_\w+ has the price price_\w+"):
        read_subscription(subscription, "key")


def test_further_items_are_none_of_ours(events):
    subscription = copy.deepcopy(events["customer.subscription.updated"]["data"]["object"])
    ours = subscription["items"]["data"][0]
    addition = copy.deepcopy(ours)
    addition["price"] |= {"lookup_key": "support_hours", "metadata": {}}
    addition["current_period_end"] = 1
    subscription["items"]["data"] = [addition, ours]
    snapshot = read_subscription(subscription, "key")
    assert (snapshot.plan, snapshot.period_end.timestamp()) == ("starter", ours["current_period_end"])
