"""What a subscription's snapshots and payments come to: pure functions, whatever order they arrive in.

Two registers each keep the newest of their kind by a key (moment, rank of the type, id), and the status is
computed from both. So any order and any number of repetitions of the same events end in the same state.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import models


class Status(models.TextChoices):
    """Stripe's: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses"""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


class Payment(models.TextChoices):
    PAID = "paid"
    FAILED = "failed"


ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)
LIVE = (Status.TRIALING, Status.ACTIVE)
SUSPENDED = (Status.PAST_DUE, Status.UNPAID, Status.PAUSED)
# Over, or not begun: neither to pay for nor in the way of another.
WITHOUT_A_PLAN = (*ENDED, Status.INCOMPLETE)
# Whichever comes first decides about the organization.
PRECEDENCE = (*LIVE, *SUSPENDED, Status.INCOMPLETE, *ENDED)

# Of events of the same second; a fetched subscription is newer than all of them.
RANKS = {
    "customer.subscription.created": 0,
    "customer.subscription.trial_will_end": 1,
    "invoice.payment_failed": 1,
    "customer.subscription.updated": 2,
    "customer.subscription.paused": 2,
    "customer.subscription.resumed": 2,
    "invoice.paid": 2,
    "invoice.payment_succeeded": 2,
    "checkout.session.completed": 2,
    "checkout.session.async_payment_succeeded": 2,
    "customer.subscription.deleted": 3,
    "fetched": 4,
}
OLDEST = ""


def order_key(moment: float, kind: str, event_id: str = "") -> str:
    """Sorts as text by moment (Unix seconds), rank of the type, id."""
    return f"{moment:017.6f}:{RANKS[kind]}:{event_id}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A subscription as Stripe showed it, at the moment that `key` says."""

    key: str
    status: str
    plan: str
    interval: str
    period_start: datetime | None
    period_end: datetime | None
    cancel_at_period_end: bool
    trial_end: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """An invoice that was paid, or whose payment failed."""

    key: str
    payment: str
    due_at: datetime | None
    period_end: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    snapshot_key: str = OLDEST
    snapshot_status: str = ""
    plan: str = ""
    interval: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at_period_end: bool = False
    trial_end: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    payment_key: str = OLDEST
    payment: str = ""
    payment_due_at: datetime | None = None
    payment_period_end: datetime | None = None
    # Any payment ever: it is what an incomplete subscription waits for.
    was_paid: bool = False

    @property
    def has_ended(self) -> bool:
        return self.snapshot_status in ENDED

    @property
    def status(self) -> str:
        status = self.snapshot_status or Status.INCOMPLETE
        if status == Status.INCOMPLETE and self.was_paid:
            status = Status.ACTIVE
        if self.has_ended or self.payment_key <= self.snapshot_key:
            return status
        if self.payment == Payment.PAID:
            return status if status == Status.TRIALING else Status.ACTIVE
        return Status.PAST_DUE if status in LIVE else status

    @property
    def current_period_end(self) -> datetime | None:
        if self.payment == Payment.PAID and self.payment_key > self.snapshot_key and self.payment_period_end:
            return max(self.payment_period_end, self.period_end or self.payment_period_end)
        return self.period_end

    def grace_ends_at(self, grace: timedelta) -> datetime | None:
        """When a failed payment suspends the organization; None if none failed, or if it does at once."""
        if self.status != Status.PAST_DUE or not grace:
            return None
        is_reported = self.payment == Payment.FAILED and self.payment_due_at is not None
        due_at = self.payment_due_at if is_reported else self.period_start
        return due_at + grace if due_at else None

    def is_suspended(self, *, now: datetime, grace: timedelta) -> bool:
        grace_ends_at = self.grace_ends_at(grace)
        return self.status in SUSPENDED and (grace_ends_at is None or grace_ends_at <= now)


def with_snapshot(state: SubscriptionState, snapshot: Snapshot) -> SubscriptionState:
    """The state after a snapshot; the same object if it is stale. What ended at Stripe never lives again."""
    is_end = snapshot.status in ENDED
    if (is_end, snapshot.key) <= (state.has_ended, state.snapshot_key):
        return state
    return replace(
        state,
        snapshot_key=snapshot.key,
        snapshot_status=snapshot.status,
        plan=snapshot.plan,
        interval=snapshot.interval,
        period_start=snapshot.period_start,
        period_end=snapshot.period_end,
        cancel_at_period_end=snapshot.cancel_at_period_end,
        trial_end=snapshot.trial_end,
        started_at=snapshot.started_at,
        ended_at=snapshot.ended_at,
    )


def with_first_payment(state: SubscriptionState) -> SubscriptionState:
    """The state once a checkout was paid; the same object if that is known."""
    return state if state.was_paid else replace(state, was_paid=True)


def with_payment(state: SubscriptionState, report: PaymentReport) -> SubscriptionState:
    """The state after a payment or its failure; the same object if nothing in it is news."""
    was_paid = state.was_paid or report.payment == Payment.PAID
    if report.key <= state.payment_key:
        return state if was_paid == state.was_paid else replace(state, was_paid=was_paid)
    return replace(
        state,
        was_paid=was_paid,
        payment_key=report.key,
        payment=report.payment,
        payment_due_at=report.due_at,
        payment_period_end=report.period_end,
    )
