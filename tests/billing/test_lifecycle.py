"""From the checkout to the cancellation, as a customer goes through it."""

import time
from datetime import datetime

import pytest

from billing.services import inbox
from billing.services.reconciliation import reconcile
from billing.services.subscriptions import end_grace
from billing.standin.errors import StripeFailure
from tenancy.context import org_context
from tests.accounts.asking import assert_refused
from tests.billing.conftest import customer_of, events_of, mails_to, organization_of, subscriptions_of


def answer(person):
    return person.api.get("/payments/subscription").json()


class TestLifecycle:
    def test_before_a_checkout_there_is_the_free_plan(self, alice):
        assert answer(alice) == {
            "plan": "free",
            "status": "none",
            "access": "full",
            "grace_ends_at": None,
            "current_period_end": None,
            "cancel_at_period_end": False,
            "limits": {"seats": 3},
        }

    def test_a_trial_begins(self, stripe, alice):
        stripe.subscribe(alice)
        assert set(stripe.deliver_new()) <= {"processed", "stale", "ignored"}
        found = answer(alice)
        assert (found["plan"], found["status"], found["access"]) == ("starter", "trialing", "full")
        assert found["limits"] == {"seats": 10}
        assert found["current_period_end"]
        assert mails_to(alice) == ["subscription_activated"]
        assert organization_of(alice).seat_limit == 10
        assert customer_of(alice).trial_used_at

    def test_a_failed_renewal_suspends_and_the_next_payment_lifts_it(self, stripe, alice, bob):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.deliver_new()
        assert mails_to(alice) == ["payment_received", "subscription_activated"]
        before = answer(alice)["current_period_end"]

        stripe.book.renew(subscription, succeeds=False)
        stripe.deliver_new()
        assert (answer(alice)["status"], answer(alice)["access"]) == ("past_due", "read_only")
        change = alice.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"})
        assert_refused(change, 402, "subscription_required")
        assert alice.api.post("/payments/portal").status_code == 201
        assert mails_to(alice) == ["payment_failed", "payment_received", "subscription_activated"]

        stripe.book.retry_payment(subscription, succeeds=True)
        stripe.deliver_new()
        assert (answer(alice)["status"], answer(alice)["access"]) == ("active", "full")
        assert answer(alice)["current_period_end"] > before
        assert alice.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"}).status_code == 200
        assert mails_to(alice).count("payment_received") == 2

    def test_a_cancellation_goes_back_to_the_free_plan(self, stripe, alice):
        subscription = stripe.subscribe(alice, plan="professional")
        stripe.deliver_new()
        assert organization_of(alice).seat_limit is None
        stripe.book.cancel(subscription, at_period_end=True)
        stripe.deliver_new()
        assert answer(alice)["cancel_at_period_end"] is True
        assert answer(alice)["plan"] == "professional"

        stripe.book.cancel(subscription)
        stripe.deliver_new()
        assert (answer(alice)["plan"], answer(alice)["status"]) == ("free", "none")
        assert answer(alice)["access"] == "full"
        assert organization_of(alice).seat_limit == 3
        assert mails_to(alice) == ["subscription_activated", "subscription_cancelled"]

    def test_a_second_subscription_has_no_second_trial(self, stripe, alice):
        subscription = stripe.subscribe(alice)
        stripe.deliver_new()
        stripe.book.cancel(subscription)
        stripe.deliver_new()
        stripe.subscribe(alice)
        stripe.deliver_new()
        assert answer(alice)["status"] == "active"
        assert [each.status for each in subscriptions_of(alice)] == ["canceled", "active"]
        assert mails_to(alice).count("subscription_activated") == 2

    def test_an_upgrade_in_the_portal_changes_plan_and_seats(self, stripe, alice):
        subscription = stripe.subscribe(alice)
        prices = {price["lookup_key"]: price["id"] for price in stripe.book.prices.values()}
        stripe.book.change_price(subscription, prices["professional_yearly"])
        stripe.deliver_new()
        assert answer(alice)["plan"] == "professional"
        assert subscriptions_of(alice)[0].interval == "yearly"
        assert answer(alice)["limits"] == {"seats": None}

    def test_the_end_of_a_trial_is_announced(self, stripe, alice):
        subscription = stripe.subscribe(alice)
        stripe.book.trial_will_end(subscription)
        stripe.deliver_new()
        assert mails_to(alice) == ["subscription_activated", "trial_ending"]

    def test_a_first_payment_that_fails_changes_nothing(self, stripe, alice):
        checkout = alice.api.post("/payments/checkout", {"plan": "starter"}).json()
        with pytest.raises(StripeFailure):
            stripe.book.decline(checkout["id"])
        stripe.deliver_new()
        assert (answer(alice)["plan"], answer(alice)["access"]) == ("free", "full")
        assert mails_to(alice) == []

    def test_nobody_else_is_touched(self, stripe, alice, charlie):
        stripe.subscribe(alice)
        stripe.deliver_new()
        assert answer(charlie)["plan"] == "free"
        assert mails_to(charlie) == []

    def test_owners_alone_get_mail(self, stripe, alice, bob):
        stripe.subscribe(alice)
        stripe.deliver_new()
        assert (mails_to(alice), mails_to(bob)) == (["subscription_activated"], [])


class TestGrace:
    @pytest.fixture(autouse=True)
    def week(self, settings):
        settings.BILLING_GRACE_DAYS = 7

    def test_a_failed_payment_suspends_only_after_it(self, stripe, alice, owner_connection):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.renew(subscription, succeeds=False)
        stripe.deliver_new()
        found = answer(alice)
        assert (found["status"], found["access"]) == ("past_due", "full")
        assert found["grace_ends_at"]
        jobs = owner_connection.execute(
            "SELECT scheduled_at FROM procrastinate_jobs WHERE task_name = 'end_grace'"
        ).fetchall()
        assert datetime.fromisoformat(found["grace_ends_at"]) in [scheduled_at for (scheduled_at,) in jobs]

    def test_then_it_does(self, stripe, alice, fake_clock):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.renew(subscription, succeeds=False)
        stripe.deliver_new()
        for days, access in ((6.9, "full"), (0.2, "read_only")):
            fake_clock.advance(days=days)
            with org_context(alice.organization_id):
                end_grace()
            assert organization_of(alice).access == access

    def test_a_payment_within_it_leaves_nothing_behind(self, stripe, alice, fake_clock):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.renew(subscription, succeeds=False)
        stripe.book.retry_payment(subscription, succeeds=True)
        stripe.deliver_new()
        fake_clock.advance(days=8)
        with org_context(alice.organization_id):
            end_grace()
        assert organization_of(alice).access == "full"


class TestClock:
    @pytest.fixture
    def an_hour_ahead(self, monkeypatch):
        """Our machine's clock, not PostgreSQL's."""
        now = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now() + 3600)
            yield patch

    def test_an_event_that_is_stored_or_replayed_is_looked_after_in_time(
        self, stripe, alice, fake_clock, owner_connection
    ):
        late = (
            "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'apply_stripe_event' "
            "AND scheduled_at NOT BETWEEN now() AND now() + interval '1 minute'"
        )
        jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'apply_stripe_event'"
        stripe.subscribe(alice)
        fake_clock.advance(hours=1)
        stripe.deliver_new()
        (stored,) = owner_connection.execute(jobs).fetchone()
        assert stored
        assert owner_connection.execute(late).fetchone() == (0,)
        inbox.replay({"stripe_id": events_of(alice)[0].stripe_id, "organization_id": alice.organization_id})
        assert owner_connection.execute(jobs).fetchone() == (stored + 1,)
        assert owner_connection.execute(late).fetchone() == (0,)

    @pytest.mark.parametrize("how", ["events", "reconciliation"])
    def test_what_was_learned_while_it_was_ahead_does_not_outlive_newer_news(
        self, stripe, alice, an_hour_ahead, how
    ):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        news = stripe.take_new()
        if how == "events":
            stripe.deliver(*news)
        else:
            assert list(reconcile(alice.organization_id, fix=True))
        assert [row.status for row in subscriptions_of(alice)] == ["active"]
        an_hour_ahead.undo()
        stripe.book.renew(subscription, succeeds=False)
        stripe.deliver_new()
        assert [row.status for row in subscriptions_of(alice)] == ["past_due"]
