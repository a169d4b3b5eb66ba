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

logger = logging.getLogger(__name__)


def replay(event: dict[str, Any]) -> str:
    """Apply a stored event again, whatever became of it before; returns what becomes of it now."""
    organization_id = event["organization_id"]
    if organization_id is None:
        organization_id, _ = events.organization_or_conflict(event["claims"], event["customer_id"])
        if organization_id is None:
            return str(event["state"])
        parked.adopt_event(organization_id, event["stripe_id"])
    with org_context(organization_id):
        if StripeEvent.objects.filter(stripe_id=event["stripe_id"], state=EventState.CONFLICT).exists():
            return EventState.CONFLICT
        StripeEvent.objects.filter(stripe_id=event["stripe_id"]).update(state=EventState.RECEIVED)
    try:
        return events.apply_event(
            organization_id, event["stripe_id"], fetch_seconds=stripe_client.OPERATION_SECONDS
        )
    except Exception:
        logger.exception("Stripe event %s failed again", event["stripe_id"])
        return EventState.FAILED


def fetch_missed(since: datetime) -> Iterator[tuple[str, str]]:
    """Receive what Stripe has sent since and we never got, oldest first; yields (id, what became of it)."""
    found = stripe_client.events_since(int(since.timestamp()), sorted(HANDLERS))
    known = {event["stripe_id"] for event in event_facts(stripe_id__in=[each["id"] for each in found])}
    for payload in reversed(found):
        yield payload["id"], "duplicate" if payload["id"] in known else events.receive(payload)
