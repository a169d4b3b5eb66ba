"""The inbox of Stripe's events: stored once, then applied; what fails stays with its error and is tried again."""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError

from billing import metrics, stripe_client
from billing.handlers import HANDLERS, Delivery
from billing.models import EVENT_CONSTRAINT, OPEN_STATES, Customer, EventState, StripeEvent
from billing.reading import EventFacts, claims_of, id_of, read_event, read_subscription
from billing.selectors import organization_of_customer
from billing.services.subscriptions import apply_to_subscription, lock_customer
from billing.state import Snapshot, order_key
from saas.kit import clock
from saas.kit.errors import MalformedRequest
from tenancy.context import org_context
from tenancy.database import database_time, violated_constraint
from tenancy.jobs import defer, defer_once
from tenancy.models import SUPPORT_ORGANIZATION_ID, Organization

logger = logging.getLogger(__name__)

# Stripe waits for our answer meanwhile.
FETCH_SECONDS = 2.0
# The job is for what the web process did not finish; by then it has.
JOB_DELAY = timedelta(seconds=20)


class OrganizationConflict(Exception):
    """An event or a subscription is not about the organization that was to take it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A subscription as Stripe has it, and whose it says that it is."""

    snapshot: Snapshot
    customer_id: str
    claims: list[str]

    def is_not_of(self, customer: Customer, customer_id: str | None) -> str:
        """Why it is not that customer's; empty if it is."""
        if self.customer_id != customer_id:
            return f"the subscription is {self.customer_id}'s, not {customer_id}'s"
        if self.claims and self.claims != [str(customer.organization_id)]:
            return f"the subscription names {', '.join(self.claims)}"
        return ""


def receive(payload: dict[str, Any], *, signed_body: str = "", signature: str = "") -> str:
    """Store a verified event and apply it; returns what became of it.

    An error of the application is not raised: the event is stored, and its job tries again. Raises
    MalformedRequest for what is no event, or what PostgreSQL raised if it could not be stored.
    """
    if not isinstance(payload.get("type"), str):
        raise MalformedRequest("The body is no event of Stripe.")
    if payload["type"] not in HANDLERS:
        return _counted("other", "ignored")
    try:
        facts = read_event(payload)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedRequest("The body is no event of Stripe.") from error
    return _counted(facts.type, _receive(payload, facts, signed_body, signature))


def _counted(kind: str, result: str) -> str:
    metrics.EVENTS.labels(kind, result).inc()
    return result


def _receive(payload: dict[str, Any], facts: EventFacts, signed_body: str, signature: str) -> str:
    if not facts.subscription_id or not facts.customer_id:
        return "ignored"  # A payment that belongs to no subscription is none of ours.
    if stripe_client.is_other_mode(payload):
        logger.warning("Stripe event %s is of the other mode (test or live) than STRIPE_SECRET_KEY", facts.id)
        return "ignored"
    metrics.EVENT_LAG.observe(max(0, time.time() - facts.created))
    organization_id, error = organization_or_conflict(facts.claims, facts.customer_id)
    event = StripeEvent(
        organization_id=organization_id,
        stripe_id=facts.id,
        type=facts.type,
        created=facts.created,
        payload=payload,
        customer_id=facts.customer_id,
        claims=facts.claims,
        error=error,
    )
    if organization_id is None:
        event.state = EventState.CONFLICT if error else EventState.PARKED
        event.signed_body, event.signature = signed_body, signature
        logger.warning("Stripe event %s belongs to nobody: %s", facts.id, error or "unknown customer")
    if not _store(event):
        return "duplicate"
    if organization_id is None:
        return event.state
    try:
        return apply_event(organization_id, facts.id, fetch_seconds=FETCH_SECONDS)
    except Exception:
        logger.exception("Stripe event %s could not be applied yet", facts.id)
        return EventState.FAILED


def _store(event: StripeEvent) -> bool:
    """Together with the job that applies it. False if it is stored already."""
    try:
        if event.organization_id is None:
            event.save(force_insert=True)
        else:
            with org_context(event.organization_id):
                event.save(force_insert=True)
                defer("apply_stripe_event", event_id=event.stripe_id, at=JOB_DELAY)
    except DataError as error:
        raise MalformedRequest("The event holds characters that can't be stored.") from error
    except IntegrityError as violation:
        if violated_constraint(violation) != EVENT_CONSTRAINT:
            raise
        return False
    return True


def organization_or_conflict(claims: list[str], customer_id: str) -> tuple[UUID | None, str]:
    """Whose event it is: what it names itself and whose customer it is must agree. Nobody's, and why, if not."""
    known = organization_of_customer(customer_id) if customer_id else None
    if len(claims) > 1:
        return None, f"it names several organizations: {', '.join(claims)}"
    claimed = _existing_organization(claims[0]) if claims else None
    if claims and known and known != claimed:
        return None, f"it names {claims[0]}, but {customer_id} belongs to {known}"
    return known or claimed, ""


def _existing_organization(claim: str) -> UUID | None:
    try:
        organization_id = UUID(claim)
    except ValueError:
        return None
    if organization_id == SUPPORT_ORGANIZATION_ID:
        return None
    with org_context(organization_id):
        return organization_id if Organization.objects.exists() else None


def apply_event(organization_id: UUID, event_id: str, *, fetch_seconds: float) -> str:
    """Apply a stored event, unless that was done. An error is kept on the event, and raised."""
    try:
        return _apply(organization_id, event_id, fetch_seconds)
    except Exception as error:
        with org_context(organization_id):
            event = StripeEvent.objects.select_for_update().get(stripe_id=event_id)
            if event.state in OPEN_STATES:
                event.state, event.error = EventState.FAILED, f"{type(error).__name__}: {error}"[:2000]
                event.attempts += 1
                event.save(update_fields=["state", "error", "attempts"])
        raise


def _apply(organization_id: UUID, event_id: str, fetch_seconds: float) -> str:
    with org_context(organization_id):
        event = StripeEvent.objects.get(stripe_id=event_id)
    if event.state not in OPEN_STATES:
        return event.state
    facts = read_event(event.payload)
    fetched = _fetch_if_possible(facts, fetch_seconds)
    with org_context(organization_id):
        customer = lock_customer()
        event = StripeEvent.objects.select_for_update().get(stripe_id=event_id)
        if event.state not in OPEN_STATES:
            return event.state
        event.state, event.error = _handle(customer, facts, fetched)
        event.processed_at = clock.now()
        event.attempts += 1
        event.save(update_fields=["state", "error", "processed_at", "attempts"])
    return event.state


def _handle(customer: Customer, facts: EventFacts, fetched: Fetched | None) -> tuple[EventState, str]:
    if customer.stripe_id not in (None, facts.customer_id):
        return (
            EventState.CONFLICT,
            f"{facts.customer_id} is not this organization's customer {customer.stripe_id}",
        )
    if fetched and (problem := fetched.is_not_of(customer, facts.customer_id)):
        return EventState.CONFLICT, problem
    if customer.stripe_id is None:
        customer.stripe_id = facts.customer_id
        customer.save(update_fields=["stripe_id"])
    change = HANDLERS[facts.type](Delivery(facts, customer, fetched.snapshot if fetched else None))
    if fetched is None:
        queue_refresh(facts.subscription_id)
    return (EventState.STALE if change.is_stale else EventState.PROCESSED), ""


def _fetch_if_possible(facts: EventFacts, seconds: float) -> Fetched | None:
    """The event is a hint; the truth is at Stripe. While it can't be asked, the event's own snapshot counts."""
    try:
        return fetch(facts.subscription_id, not_before=facts.created, seconds=seconds)
    except stripe_client.ProviderFailure:
        return None


def fetch(subscription_id: str, *, not_before: int = 0, seconds: float) -> Fetched:
    """A subscription as Stripe has it now. Raises what billing.stripe_client raises, or UnknownPrice."""
    # Asked later, known later: of two that cross each other the one that began later counts.
    key = order_key(max(database_time(), not_before), "fetched")
    subscription = stripe_client.fetch_subscription(subscription_id, seconds=seconds)
    return Fetched(
        read_subscription(subscription, key), id_of(subscription["customer"]), claims_of(subscription)
    )


def queue_refresh(subscription_id: str) -> None:
    defer_once(
        "refresh_subscription", queueing_lock=f"refresh:{subscription_id}", subscription_id=subscription_id
    )


def refresh_subscription(organization_id: UUID, subscription_id: str) -> None:
    """Bring a subscription up to date with Stripe. One that Stripe does not know stays as its events left it.

    Raises OrganizationConflict if it is another customer's.
    """
    try:
        fetched = fetch(subscription_id, seconds=stripe_client.OPERATION_SECONDS)
    except stripe_client.NotAtStripe:
        logger.warning("Stripe does not know the subscription %s", subscription_id)
        return
    with org_context(organization_id):
        customer = lock_customer()
        if problem := fetched.is_not_of(customer, customer.stripe_id):
            raise OrganizationConflict(problem)
        apply_to_subscription(customer, subscription_id, snapshot=fetched.snapshot)
