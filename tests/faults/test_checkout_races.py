"""Payments that meet, over HTTP in workers of their own: Stripe is asked once, and an event counts once."""

from concurrent.futures import ThreadPoolExecutor

from tests.billing.conftest import customer_of, events_of, subscriptions_of
from tests.faults.test_billing import post, server, standin, stripe
from tests.faults.test_revocation import call

__all__ = ["server", "standin", "stripe"]


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(*each) for each in calls]]


def open_sessions(stripe):
    return [each for each in stripe.book.checkout_sessions.values() if each["status"] == "open"]


def check_outs(server, person, *plans):
    answers = at_once(
        *[(call, server, "POST", "/payments/checkout", person.access_token, {"plan": plan}) for plan in plans]
    )
    codes = {answer.get("code") for status, answer in answers if status != 201}
    assert codes <= {"checkout_in_progress"}, answers
    return {answer["id"] for status, answer in answers if status == 201}


def test_eight_checkouts_at_once_open_one_session_of_one_customer(stripe, server, alice):
    customers = len(stripe.book.customers)
    for _ in range(3):
        opened = check_outs(server, alice, *["starter"] * 8)
        assert len(opened) == 1
        assert [each["id"] for each in open_sessions(stripe)] == list(opened)
    assert len(stripe.book.customers) == customers + 1
    assert customer_of(alice).stripe_id in stripe.book.customers
    # Who is told to make it again makes the same one (Stripe's idempotency key).
    assert len({key for *_, key in stripe.calls("POST", "/v1/customers")}) == 1


def test_two_plans_at_once_leave_one_session_that_can_be_paid(stripe, server, alice):
    before = {each["id"] for each in open_sessions(stripe)}
    opened = check_outs(server, alice, *["starter", "professional"] * 4)
    assert opened
    assert len({each["id"] for each in open_sessions(stripe)} - before) == 1


def test_one_event_delivered_eight_times_at_once_counts_once(stripe, server, standin, alice):
    [checkout] = check_outs(server, alice, "starter")
    stripe.book.pay(checkout)
    for event in stripe.take_new():
        answers = at_once(*[(post, server, standin, event)] * 8)
        assert {status for status, _ in answers} == {200}
    ids = [event.stripe_id for event in events_of(alice)]
    assert ids
    assert len(ids) == len(set(ids))
    [subscription] = subscriptions_of(alice)
    assert subscription.status in ("active", "trialing")
    [again] = {call(server, "POST", "/payments/checkout", alice.access_token, {"plan": "starter"})[0]}
    assert again == 409
