"""What billing does in the background."""

import logging
from collections.abc import Iterator
from uuid import UUID

from billing import metrics, stripe_client
from billing.models import OPEN_STATES, EventState, StripeEvent
from billing.selectors import organizations_with_customers
from billing.services import events, parked, subscriptions
from billing.services.reconciliation import Drift, Failure, reconcile_all
from saas.kit.lock import LockHeld, distributed_lock
from tenancy.context import org_context
from tenancy.jobs import organization_task, platform_task

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 3600


@organization_task(name="apply_stripe_event", owns_transactions=True)
def apply_stripe_event(organization_id: UUID, *, event_id: str) -> bool:
    parked.adopt_event(organization_id, event_id)
    with org_context(organization_id):
        event = StripeEvent.objects.get(stripe_id=event_id)
    # Mostly web has applied it by now, and counted it.
    is_open = event.state in OPEN_STATES
    if is_open:
        apply_and_count(organization_id, event)
    return is_open


def apply_and_count(organization_id: UUID, event: StripeEvent) -> None:
    result = EventState.FAILED.value
    try:
        result = events.apply_event(
            organization_id, event.stripe_id, fetch_seconds=stripe_client.OPERATION_SECONDS
        )
    finally:
        metrics.EVENTS.labels(event.type, result).inc()


@organization_task(name="refresh_subscription", owns_transactions=True)
def refresh_subscription(organization_id: UUID, *, subscription_id: str) -> None:
    events.refresh_subscription(organization_id, subscription_id)


@organization_task(name="end_grace")
def end_grace() -> None:
    subscriptions.end_grace()


@platform_task(name="match_parked_stripe_events", cron="* * * * *")
def match_parked_stripe_events() -> None:
    parked.match_parked_events()


@platform_task(name="prune_parked_stripe_events", cron="47 3 * * *")
def prune_parked_stripe_events() -> None:
    parked.prune_parked_events()


class ReconciliationIncomplete(Exception):
    """Some organizations could not be compared: the log has a line for each."""


@platform_task(name="reconcile_with_stripe", cron="17 4 * * *")
def reconcile_with_stripe() -> None:
    if not stripe_client.is_configured():
        return
    try:
        with distributed_lock("reconcile_with_stripe", seconds=RECONCILE_SECONDS):
            failures = [found for found in reconcile_and_log() if isinstance(found, Failure)]
    except LockHeld:
        return  # Another worker does.
    if failures:
        raise ReconciliationIncomplete(f"{len(failures)} organizations could not be compared with Stripe")


def reconcile_and_log() -> Iterator[Drift | Failure]:
    for found in reconcile_all(organizations_with_customers(), fix=True):
        if isinstance(found, Drift):
            what = "was brought in step" if found.is_mended else "was left as it is"
            logger.error("Differed from Stripe, and %s: %s", what, found)
        yield found
