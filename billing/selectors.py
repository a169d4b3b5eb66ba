"""Reads of billing. Each runs inside the organization's context, but for what the worker may know of all."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import connection, connections

from billing.models import EVENT_FACTS, Customer, StripeEvent, Subscription
from billing.state import PRECEDENCE

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


def organizations_with_customers() -> list[UUID]:
    """Read as saas_worker."""
    with connections["worker"].cursor() as cursor:
        cursor.execute("SELECT organization_id FROM billing_customer ORDER BY organization_id")
        return [row[0] for row in cursor.fetchall()]


def event_facts(**conditions: Any) -> Iterator[dict[str, Any]]:
    """All organizations' events without their payloads, oldest first. Read as saas_worker."""
    events = StripeEvent.objects.using("worker").filter(**conditions).order_by("received_at", "id")
    yield from events.values(*EVENT_FACTS)


MATCHED = """
    SELECT c.organization_id, e.stripe_id FROM billing_stripeevent e
    JOIN billing_customer c ON c.stripe_id = e.customer_id
    WHERE e.organization_id IS NULL AND e.state = 'parked' ORDER BY e.received_at, e.id LIMIT 500
"""


def matched_parked_events() -> list[tuple[UUID, str]]:
    """(organization, event) of parked events whose customer is somebody's by now. Read as saas_worker."""
    with connections["worker"].cursor() as cursor:
        cursor.execute(MATCHED)
        rows: list[tuple[UUID, str]] = cursor.fetchall()
        return rows
