"""The pure functions: any order and any repetition of the same reports ends in the same state."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.state import (
    ENDED,
    Payment,
    PaymentReport,
    Snapshot,
    Status,
    SubscriptionState,
    order_key,
    with_payment,
    with_snapshot,
)

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(
    status, second, *, kind="customer.subscription.updated", event="evt_1", plan="starter", **changes
):
    facts = {
        "interval": "monthly",
        "period_start": START,
        "period_end": START + 30 * DAY,
        "cancel_at_period_end": False,
        "trial_end": None,
        "started_at": START,
        "ended_at": START if status in ENDED else None,
    }
    return Snapshot(key=order_key(second, kind, event), status=status, plan=plan, **facts | changes)


def payment(kind, second, *, event="evt_p", period_end=START + 60 * DAY):
    type_ = "invoice.paid" if kind == Payment.PAID else "invoice.payment_failed"
    return PaymentReport(order_key(second, type_, event), kind, START + 30 * DAY, period_end)


NOTHING = SubscriptionState()


def fold(reports, state=NOTHING):
    for report in reports:
        state = (with_snapshot if isinstance(report, Snapshot) else with_payment)(state, report)
    return state


moments = st.integers(1, 6)
snapshots = st.builds(
    snapshot,
    st.sampled_from(list(Status.values)),
    moments,
    event=st.sampled_from(["a", "b", "c"]),
    plan=st.sampled_from(["starter", "professional"]),
)
payments = st.builds(payment, st.sampled_from(list(Payment)), moments, event=st.sampled_from(["a", "b", "c"]))


def unique_by_key(reports):
    return list({(type(report), report.key): report for report in reports}.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(snapshots | payments, max_size=8).map(unique_by_key), st.data())
def test_order_and_repetition_do_not_matter(reports, data):
    repeated = data.draw(st.lists(st.sampled_from(reports), max_size=6)) if reports else []
    shuffled = data.draw(st.permutations(reports + repeated))
    assert fold(shuffled) == fold(reports)


@given(st.lists(snapshots | payments, max_size=8))
def test_what_ended_never_lives_again(reports):
    ended = fold([snapshot(Status.CANCELED, 3)])
    assert fold(reports, ended).status in ENDED


@given(st.lists(snapshots | payments, max_size=8))
def test_a_report_that_is_known_changes_nothing(reports):
    state = fold(reports)
    assert all(fold([report], state) is state for report in reports)


LIFE = [
    snapshot(Status.INCOMPLETE, 1, kind="customer.subscription.created"),
    payment(Payment.PAID, 2),
    snapshot(Status.ACTIVE, 3),
    payment(Payment.FAILED, 4),
    snapshot(Status.PAST_DUE, 5),
]


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_a_life_told_in_any_order(order):
    assert fold(LIFE[index] for index in order).status == Status.PAST_DUE


class TestStatus:
    def test_a_payment_newer_than_the_snapshot_counts(self):
        assert fold([LIFE[4], payment(Payment.PAID, 6)]).status == Status.ACTIVE
        assert fold([LIFE[2], payment(Payment.FAILED, 4)]).status == Status.PAST_DUE

    def test_an_older_one_does_not(self):
        assert fold([snapshot(Status.ACTIVE, 5), payment(Payment.FAILED, 4)]).status == Status.ACTIVE

    def test_a_trial_is_not_ended_by_its_invoice_of_nothing(self):
        assert fold([snapshot(Status.TRIALING, 1), payment(Payment.PAID, 2)]).status == Status.TRIALING

    def test_a_paid_period_moves_the_end_and_never_back(self):
        state = fold([snapshot(Status.ACTIVE, 1), payment(Payment.PAID, 2)])
        assert state.current_period_end == START + 60 * DAY
        early = fold([snapshot(Status.ACTIVE, 1), payment(Payment.PAID, 2, period_end=START)])
        assert early.current_period_end == START + 30 * DAY


class TestSuspension:
    @pytest.mark.parametrize("status", list(Status.values))
    def test_without_grace_what_is_due_suspends_at_once(self, status):
        suspended = status in ("past_due", "unpaid", "paused")
        assert fold([snapshot(status, 1)]).is_suspended(now=START, grace=0 * DAY) == suspended

    def test_grace_counts_from_the_invoice_that_failed(self):
        state = fold([snapshot(Status.ACTIVE, 1), payment(Payment.FAILED, 2)])
        assert state.grace_ends_at(7 * DAY) == START + 37 * DAY
        assert not state.is_suspended(now=START + 36 * DAY, grace=7 * DAY)
        assert state.is_suspended(now=START + 37 * DAY, grace=7 * DAY)

    def test_a_new_try_does_not_prolong_it(self):
        failures = [payment(Payment.FAILED, second, event=str(second)) for second in (2, 3, 4)]
        state = fold([snapshot(Status.ACTIVE, 1), *failures])
        assert state.grace_ends_at(7 * DAY) == START + 37 * DAY

    def test_what_stripe_gave_up_has_no_grace(self):
        assert fold([snapshot(Status.UNPAID, 1)]).is_suspended(now=START, grace=7 * DAY)
