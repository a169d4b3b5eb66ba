"""Reads of billing. Each runs inside the organization's context, but for what the worker may know of all."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, connections
from django.db.models.functions import Reverse

from billing.models import EVENT_FACTS, Customer, StripeEvent, Subscription
from billing.plans import FREE, PLANS
from billing.state import ENDED, PRECEDENCE
from tenancy.models import Organization

ORGANIZATION_FOR_CUSTOMER = "SELECT tenancy.organization_for_stripe_customer(%s)"


def organization_of_customer(stripe_id: str) -> UUID | None:
    """The organization that a Stripe customer belongs to, before there is a context; no other fact of it."""
    with connection.cursor() as cursor:
        cursor.execute(ORGANIZATION_FOR_CUSTOMER, [stripe_id])
        organization_id: UUID | None = cursor.fetchone()[0]
    return organization_id


def customer() -> Customer | None:
    return Customer.objects.first()


def governing_subscription() -> Subscription | None:
    """The one that decides what the organization may do: the healthiest, of these the latest."""
    subscriptions = Subscription.objects.order_by("-started_at", "-stripe_id")
    return min(subscriptions, key=lambda each: PRECEDENCE.index(each.status), default=None)


def grace() -> timedelta:
    """From a failed payment to the suspension."""
    return timedelta(days=settings.BILLING_GRACE_DAYS)


def standing() -> dict[str, Any]:
    """The plan of the organization in force, its subscription's state and dates, and what it may do."""
    organization, subscription = Organization.objects.get(), governing_subscription()
    plan = PLANS.get(organization.plan, FREE)
    facts: dict[str, Any] = {"plan": plan.code, "access": organization.access, "limits": plan.limits}
    if subscription is None or subscription.status in ENDED:
        nothing = {"grace_ends_at": None, "current_period_end": None, "cancel_at_period_end": False}
        return {**facts, **nothing, "status": "none"}
    return {
        **facts,
        "status": subscription.status,
        "grace_ends_at": subscription.state.grace_ends_at(grace()),
        "current_period_end": subscription.state.current_period_end,
        "cancel_at_period_end": subscription.cancel_at_period_end,
    }


def organizations_with_customers() -> list[UUID]:
    """Read as saas_worker."""
    with connections["worker"].cursor() as cursor:
        cursor.execute("SELECT organization_id FROM billing_customer ORDER BY organization_id")
        return [row[0] for row in cursor.fetchall()]


def event_facts(ids: Collection[str] | None = None, **conditions: Any) -> Iterator[dict[str, Any]]:
    """All organizations' events (of Stripe's `ids`) without their payloads, oldest first. Read as saas_worker."""
    events = StripeEvent.objects.using("worker").filter(**conditions).order_by("received_at", "id")
    if ids is not None:
        # As unique_everywhere has indexed them.
        events = events.alias(backwards=Reverse("stripe_id")).filter(
            backwards__in=[each[::-1] for each in ids]
        )
    yield from events.values(*EVENT_FACTS)


MATCHED = """
    SELECT c.organization_id, e.stripe_id FROM billing_stripeevent e
    JOIN billing_customer c ON reverse(c.stripe_id) = reverse(e.customer_id)
    WHERE e.organization_id IS NULL AND e.state = 'parked' ORDER BY e.received_at, e.id LIMIT 500
"""


def matched_parked_events() -> list[tuple[UUID, str]]:
    """(organization, event) of parked events whose customer is somebody's by now. Read as saas_worker."""
    with connections["worker"].cursor() as cursor:
        cursor.execute(MATCHED)
        rows: list[tuple[UUID, str]] = cursor.fetchall()
        return rows
