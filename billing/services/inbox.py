"""What operations do with stored events: apply them again, and fetch those that never arrived."""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from billing import stripe_client
from billing.handlers import HANDLERS
from billing.models import EventState, StripeEvent
from billing.selectors import event_facts
from billing.services import events, parked
from tenancy.context import org_context
from tenancy.jobs import defer_once

logger = logging.getLogger(__name__)

# PostgreSQL takes 65,535 parameters at most, and Stripe's 30 days may be more.
IDS_A_QUERY = 1000


def replay(event: dict[str, Any]) -> str:
    """Apply a stored event again, whatever became of it before; returns what becomes of it now."""
    stripe_id, organization_id = event["stripe_id"], event["organization_id"]
    if organization_id is None:
        organization_id, _ = events.organization_or_conflict(event["claims"], event["customer_id"])
        if organization_id is None:
            return str(event["state"])
    with org_context(organization_id):
        # What was flagged on its way in stays flagged: Stripe did not sign it.
        own = StripeEvent.objects.filter(stripe_id=stripe_id)
        own.exclude(state=EventState.CONFLICT, attempts=0).update(state=EventState.RECEIVED)
        # Should we die before it is applied, this does.
        lock = f"apply:{stripe_id}"
        defer_once("apply_stripe_event", queueing_lock=lock, event_id=stripe_id, at=events.JOB_DELAY)
    parked.adopt_event(organization_id, stripe_id)
    try:
        return events.apply_event(organization_id, stripe_id, fetch_seconds=stripe_client.OPERATION_SECONDS)
    except Exception:
        logger.exception("Stripe event %s failed again", stripe_id)
        return EventState.FAILED


def fetch_missed(since: datetime) -> Iterator[tuple[str, str]]:
    """Receive what Stripe has sent since and we never got, oldest first; yields (id, what became of it)."""
    found = stripe_client.events_since(int(since.timestamp()), sorted(HANDLERS))
    known = known_ids([each["id"] for each in found])
    for payload in reversed(found):
        yield payload["id"], "duplicate" if payload["id"] in known else events.receive(payload)


def known_ids(ids: list[str]) -> set[str]:
    """Those that are stored already."""
    parts = (ids[start : start + IDS_A_QUERY] for start in range(0, len(ids), IDS_A_QUERY))
    return {event["stripe_id"] for part in parts for event in event_facts(part)}
