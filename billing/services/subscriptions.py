"""Writes what Stripe says into our rows, under the customer's lock, and what it allows into the organization."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from billing import emails
from billing.models import Customer, Subscription
from billing.plans import FREE, PLANS
from billing.selectors import governing_subscription, grace
from billing.state import (
    LIVE,
    WITHOUT_A_PLAN,
    PaymentReport,
    Snapshot,
    Status,
    SubscriptionState,
    with_first_payment,
    with_payment,
    with_snapshot,
)
from saas.kit import clock
from tenancy.jobs import defer_once
from tenancy.models import Access, Organization
from tenancy.services import change_organization


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a subscription's row. `is_stale`: nothing, since what came is older than what is known."""

    subscription: Subscription
    is_stale: bool


def lock_customer() -> Customer:
    """The row of the organization in force, made if there is none. Held, it orders all that happens to its billing."""
    rows = Customer.objects.select_for_update()
    if customer := rows.first():
        return customer
    Customer.objects.get_or_create()
    return rows.get()


@transaction.atomic
def apply_to_subscription(
    customer: Customer,
    stripe_id: str,
    *,
    snapshot: Snapshot | None = None,
    payment: PaymentReport | None = None,
    is_paid: bool = False,
) -> Change:
    """Take in what is newer than what is known. The caller holds the customer's lock."""
    subscription = customer.subscriptions.filter(stripe_id=stripe_id).first()
    if subscription is None:
        subscription = Subscription(customer=customer, stripe_id=stripe_id, status=Status.INCOMPLETE)
    before = subscription.state
    after = with_snapshot(before, snapshot) if snapshot else before
    after = with_payment(after, payment) if payment else after
    after = with_first_payment(after) if is_paid else after
    if after is before:
        return Change(subscription, is_stale=True)
    subscription.take_state(after)
    _note_milestones(customer, subscription, before)
    subscription.save()
    write_down()
    return Change(subscription, is_stale=False)


def _note_milestones(customer: Customer, subscription: Subscription, before: SubscriptionState) -> None:
    if subscription.trial_end and customer.trial_used_at is None:
        customer.trial_used_at = clock.now()
        customer.save(update_fields=["trial_used_at"])
    if subscription.status in LIVE and subscription.activated_at is None:
        subscription.activated_at = clock.now()
        emails.subscription_activated(subscription)
    if subscription.status == Status.CANCELED and before.status != Status.CANCELED:
        emails.subscription_cancelled(subscription)


def allowed(subscription: Subscription | None) -> dict[str, Any]:
    """The organization's columns plan, access and seat_limit, as the subscription that governs it allows now."""
    plan, access = FREE, Access.FULL
    if subscription is not None and subscription.status not in WITHOUT_A_PLAN:
        plan = PLANS.get(subscription.plan, FREE)
        if subscription.state.is_suspended(now=clock.now(), grace=grace()):
            access = Access.READ_ONLY
    return {"plan": plan.code, "access": access, "seat_limit": plan.seats}


def write_down() -> None:
    """Plan, access and seats of the organization in force, as its subscriptions allow."""
    subscription = governing_subscription()
    if subscription is not None:
        _come_back_after_grace(subscription)
    columns = allowed(subscription)
    organization = Organization.objects.get()
    if any(getattr(organization, name) != value for name, value in columns.items()):
        change_organization(**columns)


def _come_back_after_grace(subscription: Subscription) -> None:
    ends_at = subscription.state.grace_ends_at(grace())
    if ends_at and ends_at > clock.now():
        defer_once("end_grace", queueing_lock=f"end_grace:{ends_at.isoformat()}", at=ends_at)


@transaction.atomic
def end_grace() -> None:
    """Suspend the organization in force if its payment is still due."""
    lock_customer()
    write_down()


def has_subscription() -> bool:
    """Whether there is one to pay or to change: not ended, and not just begun."""
    return Subscription.objects.exclude(status__in=WITHOUT_A_PLAN).exists()
