"""Subscriptions and invoices over the API, and what time does to them."""

from datetime import UTC, datetime

import pytest
import stripe

from billing.standin.errors import StripeFailure
from billing.standin.periods import after
from tests.billing.standin.conftest import kinds

UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"
MONTH = {"interval": "month", "interval_count": 1}


def item_of(subscription):
    return subscription["items"].data[0]


def previous(standin, kind=UPDATED):
    return [event["data"]["previous_attributes"] for event in standin.events(kind)]


class TestApi:
    def test_it_subscribes_a_customer_with_a_card(self, standin, client, customer, price):
        standin.book.attach_card(customer.id)
        made = client.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price.id}], "metadata": {"org_id": "7"}}
        )
        assert (made.status, item_of(made).quantity) == ("active", 1)
        assert (
            client.subscriptions.retrieve(made.id, {"expand": ["latest_invoice"]}).latest_invoice.status
            == "paid"
        )

    def test_it_needs_a_card(self, client, customer, price):
        with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
            client.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})

    def test_a_card_that_fails_leaves_it_incomplete(self, standin, client, customer, price):
        standin.book.attach_card(customer.id, fails=True)
        made = client.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
        assert made.status == "incomplete"
        assert kinds(standin)[-1] == "invoice.payment_failed"

    def test_it_can_wait_for_the_first_payment(self, client, customer, price):
        made = client.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": price.id}],
                "payment_behavior": "default_incomplete",
            }
        )
        assert made.status == "incomplete"
        client.invoices.pay(made.latest_invoice, {"payment_method": "pm_card_visa"})
        assert client.subscriptions.retrieve(made.id).status == "active"

    def test_it_is_listed_by_status(self, standin, client, customer, subscribed):
        def listed(**wanted):
            return [row.id for row in client.subscriptions.list({"customer": customer.id, **wanted}).data]

        assert listed() == listed(status="active") == listed(status="all") == [subscribed]
        standin.book.cancel(subscribed)
        assert listed() == listed(status="active") == []
        assert listed(status="canceled") == listed(status="all") == listed(status="ended") == [subscribed]

    def test_it_cancels_at_the_period_end_and_resumes(self, standin, client, subscribed):
        leaving = client.subscriptions.update(subscribed, {"cancel_at_period_end": True})
        assert leaving.status == "active"
        assert leaving.cancel_at == item_of(leaving).current_period_end
        staying = client.subscriptions.update(subscribed, {"cancel_at_period_end": False})
        assert (staying.cancel_at_period_end, staying.cancel_at, staying.canceled_at) == (False, None, None)
        assert [entry["cancel_at_period_end"] for entry in previous(standin)] == [False, True]

    def test_it_cancels_now_and_only_once(self, standin, client, subscribed):
        gone = client.subscriptions.cancel(subscribed)
        assert (gone.status, gone.ended_at is None) == ("canceled", False)
        assert kinds(standin) == [DELETED]
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.subscriptions.cancel(subscribed)
        assert refused.value.code == "resource_missing"
        with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
            client.subscriptions.update(subscribed, {"cancel_at_period_end": True})

    def test_another_quantity_is_an_update(self, standin, client, subscribed):
        item = item_of(client.subscriptions.retrieve(subscribed))
        client.subscriptions.update(
            subscribed, {"items": [{"id": item.id, "quantity": 4}], "metadata": {"a": "b"}}
        )
        assert item_of(client.subscriptions.retrieve(subscribed)).quantity == 4
        assert kinds(standin) == [UPDATED]

    def test_another_interval_begins_a_new_period(self, standin, client, subscribed, yearly):
        item = item_of(client.subscriptions.retrieve(subscribed))
        standin.book.events.clear()
        changed = client.subscriptions.update(subscribed, {"items": [{"id": item.id, "price": yearly.id}]})
        assert item_of(changed).price.lookup_key == "starter_yearly"
        assert item_of(changed).current_period_end > item.current_period_end
        invoice = client.invoices.retrieve(changed.latest_invoice)
        assert (invoice.billing_reason, invoice.total) == ("subscription_update", 9000)

    def test_it_refuses_an_item_of_another(self, client, subscribed):
        with pytest.raises(stripe.InvalidRequestError, match="No such subscription item"):
            client.subscriptions.update(subscribed, {"items": [{"id": "si_nothing", "quantity": 2}]})

    def test_the_trial_ends_now(self, standin, client, on_trial):
        assert client.subscriptions.update(on_trial, {"trial_end": "now"}).status == "active"
        assert "invoice.payment_succeeded" in kinds(standin)

    def test_invoices_are_listed(self, standin, client, customer, subscribed):
        standin.book.renew(subscribed)
        rows = client.invoices.list({"subscription": subscribed, "status": "paid"}).data
        assert [row.billing_reason for row in rows] == ["subscription_cycle", "subscription_create"]
        assert client.invoices.list({"customer": customer.id, "limit": 1}).data[0].id == rows[0].id
        line = client.invoices.retrieve(rows[0].id).lines.data[0]
        assert line.pricing.price_details.product == "starter"
        assert line.parent.subscription_item_details.subscription == subscribed


class TestRenewing:
    def test_it_succeeds(self, standin, client, subscribed):
        before = item_of(client.subscriptions.retrieve(subscribed))
        standin.book.renew(subscribed)
        now = item_of(client.subscriptions.retrieve(subscribed))
        assert now.current_period_start == before.current_period_end
        assert now.current_period_end == after(
            now.current_period_start, MONTH, anchor=before.current_period_start
        )
        assert kinds(standin) == [
            "invoice.created",
            UPDATED,
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
        ]

    def test_it_fails_and_is_retried(self, standin, client, subscribed):
        standin.book.renew(subscribed, succeeds=False)
        failed = client.subscriptions.retrieve(subscribed, {"expand": ["latest_invoice"]})
        assert (failed.status, failed.latest_invoice.status) == ("past_due", "open")
        assert failed.latest_invoice.attempt_count == 1
        assert failed.latest_invoice.next_payment_attempt > standin.book.now()
        assert kinds(standin)[-2:] == ["invoice.payment_failed", UPDATED]
        assert previous(standin)[-1] == {"status": "active"}
        standin.book.retry_payment(subscribed, succeeds=False)
        standin.book.retry_payment(subscribed)
        paid = client.subscriptions.retrieve(subscribed, {"expand": ["latest_invoice"]})
        assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
        assert (paid.latest_invoice.attempt_count, paid.latest_invoice.next_payment_attempt) == (3, None)
        assert kinds(standin)[-3:] == ["invoice.paid", "invoice.payment_succeeded", UPDATED]

    def test_dunning_ends_it(self, standin, client, subscribed):
        standin.book.renew(subscribed, succeeds=False)
        standin.book.finish_dunning(subscribed)
        gone = client.subscriptions.retrieve(subscribed)
        assert (gone.status, gone.cancellation_details.reason) == ("canceled", "payment_failed")
        assert kinds(standin)[-1] == DELETED

    def test_one_that_was_to_end_ends(self, standin, client, subscribed):
        standin.book.cancel(subscribed, at_period_end=True)
        standin.book.renew(subscribed)
        gone = client.subscriptions.retrieve(subscribed)
        assert (gone.status, gone.ended_at) == ("canceled", item_of(gone).current_period_end)
        assert kinds(standin)[-1] == DELETED

    def test_what_has_ended_cannot(self, standin, subscribed):
        standin.book.cancel(subscribed)
        with pytest.raises(StripeFailure):
            standin.book.renew(subscribed)

    def test_nothing_open_cannot_be_retried(self, standin, subscribed):
        with pytest.raises(StripeFailure, match="no open invoice"):
            standin.book.retry_payment(subscribed)


class TestTrial:
    def test_a_reminder_comes_three_days_before(self, standin, client, on_trial):
        standin.book.trial_will_end(on_trial)
        subscription = client.subscriptions.retrieve(on_trial)
        assert subscription.trial_end - standin.book.now() == pytest.approx(3 * 24 * 3600, abs=5)
        assert kinds(standin) == [UPDATED, "customer.subscription.trial_will_end"]

    def test_it_ends_with_a_payment(self, standin, client, on_trial):
        standin.book.end_trial(on_trial)
        ended = client.subscriptions.retrieve(on_trial, {"expand": ["latest_invoice"]})
        assert (ended.status, ended.latest_invoice.amount_paid) == ("active", 900)
        assert item_of(ended).current_period_start == ended.trial_end

    def test_it_ends_with_a_failed_payment(self, standin, client, on_trial):
        assert standin.book.end_trial(on_trial, succeeds=False)["status"] == "past_due"

    @pytest.mark.parametrize(("behavior", "status"), [("cancel", "canceled"), ("pause", "paused")])
    def test_without_a_card_it_ends_as_asked(self, standin, client, customer, price, behavior, status):
        made = client.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": price.id}],
                "trial_period_days": 14,
                "trial_settings": {"end_behavior": {"missing_payment_method": behavior}},
            }
        )
        assert standin.book.end_trial(made.id)["status"] == status

    def test_only_a_trial_can_end(self, standin, subscribed):
        with pytest.raises(StripeFailure, match="not on trial"):
            standin.book.trial_will_end(subscribed)


@pytest.mark.parametrize(
    ("start", "interval", "count", "end"),
    [
        ("2026-01-31", "month", 1, "2026-02-28"),
        ("2026-12-15", "month", 1, "2027-01-15"),
        ("2024-02-29", "year", 1, "2025-02-28"),
        ("2026-01-01", "week", 2, "2026-01-15"),
        ("2026-01-01", "day", 3, "2026-01-04"),
    ],
)
def test_periods_follow_the_calendar(start, interval, count, end):
    def moment(day):
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

    recurring = {"interval": interval, "interval_count": count}
    assert after(moment(start), recurring, anchor=moment(start)) == moment(end)


def test_a_short_month_does_not_move_the_day():
    january, february = (
        int(datetime(2026, month, day, tzinfo=UTC).timestamp()) for month, day in ((1, 31), (2, 28))
    )
    assert datetime.fromtimestamp(after(february, MONTH, anchor=january), UTC).day == 31
