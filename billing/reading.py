"""What an event of Stripe says, in the layouts before and after API version 2025-03-31.basil.

https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.plans import LOOKUP_KEYS
from billing.state import Payment, PaymentReport, Snapshot, order_key
from saas.kit import clock

ID = re.compile(r"\w{1,255}", re.ASCII)
DAY = 24 * 3600


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
    """Raises KeyError, TypeError or ValueError for what is no event of Stripe."""
    kind, thing, created = payload["type"], payload["data"]["object"], payload["created"]
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise TypeError("type or object")
    # From the future it would count as the newest for as long.
    if type(created) is not int or not 0 < created < time.time() + DAY:
        raise ValueError("created")
    event_id = id_of(payload["id"])
    if not event_id:
        raise ValueError("id")
    is_subscription = kind.startswith("customer.subscription.")
    return EventFacts(
        id=event_id,
        type=kind,
        created=created,
        object=thing,
        customer_id=id_of(thing.get("customer")),
        subscription_id=id_of(thing["id"] if is_subscription else _subscription_of(thing)),
        claims=claims_of(thing),
    )


def claims_of(thing: dict[str, Any]) -> list[str]:
    """The organizations that an object names."""
    return sorted({_as_uuid(claim) for claim in _claims(thing) if claim and isinstance(claim, str)})


def _claims(thing: dict[str, Any]) -> Iterator[Any]:
    for part in (thing, _subscription_details(thing), thing.get("subscription_details") or {}):
        yield (part.get("metadata") or {}).get("org_id")
    yield thing.get("client_reference_id")


def _as_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return text


def _subscription_details(invoice: dict[str, Any]) -> dict[str, Any]:
    return (invoice.get("parent") or {}).get("subscription_details") or {}


def _subscription_of(thing: dict[str, Any]) -> Any:
    """The subscription of an invoice or of a checkout session."""
    return thing.get("subscription") or _subscription_details(thing).get("subscription")


def id_of(value: Any) -> str:
    """An id, which may arrive as the whole object; empty if there is none. Raises TypeError or ValueError."""
    if isinstance(value, dict):
        value = value["id"]
    if value is None or value == "":
        return ""
    if not ID.fullmatch(value):
        raise ValueError("id")
    return str(value)


def read_subscription(subscription: dict[str, Any], key: str) -> Snapshot:
    """Raises UnknownPrice."""
    plan, interval, item = _plan_of(subscription)
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


def _plan_of(subscription: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Plan, interval and the item that says so; further items are none of ours."""
    items = (subscription.get("items") or {}).get("data") or [{}]
    for item in items:
        for key in _lookup_keys(item.get("price") or {}):
            if key in LOOKUP_KEYS:
                return *LOOKUP_KEYS[key], item
    # Of a layout without lookup keys: what its checkout said. A price that can be read and is not ours is not ours.
    metadata = subscription.get("metadata") or {}
    said = f"{metadata.get('plan')}_{metadata.get('interval')}"
    if said in LOOKUP_KEYS and not any("lookup_key" in (item.get("price") or {}) for item in items):
        return *LOOKUP_KEYS[said], items[0]
    price = items[0].get("price") or items[0].get("plan") or {}
    raise UnknownPrice(id_of(subscription["id"]), str(price.get("id")))


def _lookup_keys(price: dict[str, Any]) -> tuple[Any, Any]:
    # A price whose successor took its key over still names it in its metadata.
    return price.get("lookup_key"), (price.get("metadata") or {}).get("lookup_key")


def read_payment(facts: EventFacts, payment: Payment) -> PaymentReport:
    invoice = facts.object
    return PaymentReport(
        key=facts.key,
        payment=payment,
        due_at=moment(invoice.get("created")),
        period_end=period_end_of(invoice),
    )


def period_end_of(invoice: dict[str, Any]) -> datetime | None:
    """The end of what its lines pay for; the invoice's own period is the one before."""
    lines = (invoice.get("lines") or {}).get("data") or []
    return moment(max((line["period"]["end"] for line in lines if line.get("period")), default=None))


def moment(seconds: float | None) -> datetime | None:
    return clock.from_timestamp(seconds) if seconds else None
