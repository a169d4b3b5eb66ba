"""Events of nobody: matched once their customer is known, and believed only for their signature.

Their rows are the one thing that `saas_app` may put where it can't look, so nothing in them is trusted: an
organization that is given one verifies what Stripe signed, and reads everything from that.
"""

import logging
from typing import Any
from uuid import UUID

from django.db import connections

from billing import stripe_client
from billing.models import EventState, StripeEvent
from billing.reading import read_event
from billing.selectors import event_facts, matched_parked_events
from billing.services.events import OrganizationConflict, organization_or_conflict
from tenancy.context import org_context
from tenancy.jobs import defer_once

logger = logging.getLogger(__name__)

GIVE = (
    "UPDATE billing_stripeevent SET organization_id = %s WHERE organization_id IS NULL AND stripe_id = %s "
    "AND state IN ('parked', 'conflict')"
)
PRUNE = "DELETE FROM billing_stripeevent WHERE organization_id IS NULL AND received_at < now() - interval '30 days'"


def match_parked_events() -> int:
    """Queue events whose customer became known in that customer's organization; returns how many."""
    matched = 0
    for organization_id, event_id in matched_parked_events():
        with org_context(organization_id):
            if defer_once("apply_stripe_event", queueing_lock=f"apply:{event_id}", event_id=event_id):
                matched += 1
    return matched


def adopt_event(organization_id: UUID, event_id: str) -> None:
    """Take an event of nobody into an organization, if Stripe signed that it is about it; else flag it.

    Raises OrganizationConflict for one that does not even say so, or what billing.stripe_client raises for one
    that came without a signature, from Stripe's own list.
    """
    for row in event_facts(organization_id=None, stripe_id=event_id):
        if organization_or_conflict(row["claims"], row["customer_id"])[0] != organization_id:
            raise OrganizationConflict(f"{event_id} is not about {organization_id}")
        with connections["worker"].cursor() as cursor:
            # Only saas_worker may, and only what is nobody's.
            cursor.execute(GIVE, [organization_id, event_id])
    with org_context(organization_id):
        event = StripeEvent.objects.filter(stripe_id=event_id).first()
    if (
        event is None
        or event.state not in (EventState.PARKED, EventState.CONFLICT)
        or not _is_unverified(event)
    ):
        return
    payload = _authentic_payload(event)
    state, error = _judge(organization_id, event_id, payload)
    with org_context(organization_id):
        event = StripeEvent.objects.select_for_update().get(stripe_id=event_id)
        event.state, event.error = state, error
        if payload and event.state == EventState.RECEIVED:
            facts = read_event(payload)
            event.payload, event.type, event.created = payload, facts.type, facts.created
            event.customer_id, event.claims = facts.customer_id, facts.claims
        event.signed_body = event.signature = ""
        event.save()


def _is_unverified(event: StripeEvent) -> bool:
    return event.processed_at is None and event.attempts == 0


def _authentic_payload(event: StripeEvent) -> dict[str, Any] | None:
    if event.signed_body:
        return stripe_client.event_signed_before(event.signed_body.encode(), event.signature)
    return stripe_client.fetch_event(event.stripe_id)


def _judge(organization_id: UUID, event_id: str, payload: dict[str, Any] | None) -> tuple[EventState, str]:
    if payload is None:
        return EventState.CONFLICT, "Stripe did not sign it, with no secret that is configured now"
    facts = read_event(payload)
    if facts.id != event_id:
        return EventState.CONFLICT, f"what Stripe signed is {facts.id}"
    owner, conflict = organization_or_conflict(facts.claims, facts.customer_id)
    if owner != organization_id:
        return EventState.CONFLICT, conflict or f"it is not about {organization_id}"
    return EventState.RECEIVED, ""


def prune_parked_events() -> int:
    """Remove events of nobody after 30 days, as long as Stripe has them; returns how many."""
    with connections["worker"].cursor() as cursor:
        cursor.execute(PRUNE)
        return int(cursor.rowcount)
