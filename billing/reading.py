"""What an event of Stripe says, in the layouts before and after API version 2025-03-31.basil.

https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.plans import LOOKUP_KEYS
from billing.state import Payment, PaymentReport, Snapshot, order_key
from saas.kit import clock


class UnknownPrice(Exception):
    """The subscription's price is none of ours: run `manage.py sync_plans`, or mend it at Stripe."""

    def __init__(self, subscription_id: str, price_id: str) -> None:
        super().__init__(f"{subscription_id} has the price {price_id}, which names no plan of the catalogue")


@dataclass(frozen=True, slots=True)
class EventFacts:
    id: str
    type: str
    created: int
    object: dict[str, Any]
    customer_id: str
    subscription_id: str
    # Organizations that it names itself: in its metadata, its subscription's, or as the client's reference.
    claims: list[str]

    @property
    def key(self) -> str:
        return order_key(self.created, self.type, self.id)


def read_event(payload: dict[str, Any]) -> EventFacts:
    """Raises KeyError or TypeError for what is no event."""
    kind, thing = str(payload["type"]), payload["data"]["object"]
    is_subscription = kind.startswith("customer.subscription.")
    return EventFacts(
        id=str(payload["id"]),
        type=kind,
        created=int(payload["created"]),
        object=thing,
        customer_id=id_of(thing.get("customer")),
        subscription_id=id_of(thing["id"]) if is_subscription else id_of(_subscription_of(thing)),
        claims=sorted(set(_claims(thing))),
    )


def _claims(thing: dict[str, Any]) -> Iterator[str]:
    parts = (thing, _subscription_details(thing), thing.get("subscription_details") or {})
    for part in parts:
        if claimed := (part.get("metadata") or {}).get("org_id"):
            yield str(claimed)
    if reference := thing.get("client_reference_id"):
        yield str(reference)


def _subscription_details(invoice: dict[str, Any]) -> dict[str, Any]:
    return (invoice.get("parent") or {}).get("subscription_details") or {}


def _subscription_of(thing: dict[str, Any]) -> Any:
    """The subscription of an invoice or of a checkout session."""
    return thing.get("subscription") or _subscription_details(thing).get("subscription")


def id_of(value: Any) -> str:
    """An id may arrive as the whole object."""
    return str(value["id"] if isinstance(value, dict) else value or "")


def read_subscription(subscription: dict[str, Any], key: str) -> Snapshot:
    """Raises UnknownPrice."""
    item = (subscription.get("items") or {"data": [{}]})["data"][0]
    plan, interval = _plan_of(subscription, item)
    start = item.get("current_period_start") or subscription.get("current_period_start")
    end = item.get("current_period_end") or subscription.get("current_period_end")
    return Snapshot(
        key=key,
        status=subscription["status"],
        plan=plan,
        interval=interval,
        period_start=moment(start),
        period_end=moment(end),
        # A date of cancellation is one at that period's end, for whoever reads it.
        cancel_at_period_end=bool(subscription.get("cancel_at_period_end") or subscription.get("cancel_at")),
        trial_end=moment(subscription.get("trial_end")),
        started_at=moment(subscription.get("created") or subscription.get("start_date")),
        ended_at=moment(subscription.get("ended_at")),
    )


def _plan_of(subscription: dict[str, Any], item: dict[str, Any]) -> tuple[str, str]:
    price = item.get("price") or item.get("plan") or subscription.get("plan") or {}
    # A price whose successor took its lookup key over still names it in its metadata. The subscription's own
    # metadata are from its checkout, and the portal does not change them: they come last.
    metadata = subscription.get("metadata") or {}
    named = price.get("metadata") or {}
    candidates = (
        price.get("lookup_key"),
        named.get("lookup_key"),
        f"{metadata.get('plan')}_{metadata.get('interval')}",
    )
    for candidate in candidates:
        if candidate in LOOKUP_KEYS:
            return LOOKUP_KEYS[candidate]
    raise UnknownPrice(id_of(subscription["id"]), id_of(price.get("id")))


def read_payment(facts: EventFacts, payment: Payment) -> PaymentReport:
    invoice = facts.object
    return PaymentReport(
        key=facts.key,
        payment=payment,
        due_at=moment(invoice.get("created")),
        period_end=_period_end(invoice),
    )


def _period_end(invoice: dict[str, Any]) -> datetime | None:
    """The end of what its lines pay for; the invoice's own period is the one before."""
    lines = (invoice.get("lines") or {}).get("data") or []
    return moment(max((line["period"]["end"] for line in lines if line.get("period")), default=None))


def moment(seconds: float | None) -> datetime | None:
    return clock.from_timestamp(seconds) if seconds else None
