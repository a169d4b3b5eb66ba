"""Compares our subscriptions with Stripe's, where the truth is."""

import time
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from billing import stripe_client
from billing.models import Subscription
from billing.reading import UnknownPrice, read_subscription
from billing.selectors import customer as own_customer
from billing.services.subscriptions import apply_to_subscription, lock_customer
from billing.state import Snapshot, order_key
from tenancy.context import org_context

COMPARED = ("status", "plan", "interval", "period_end", "cancel_at_period_end")


class Drift(NamedTuple):
    organization_id: UUID
    subscription_id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.organization_id} {self.subscription_id}: {self.detail}"


def reconcile(organization_id: UUID, *, fix: bool) -> list[Drift]:
    """Where an organization's subscriptions differ from Stripe's; with `fix`, ours are made like Stripe's.

    Raises what billing.stripe_client raises.
    """
    with org_context(organization_id):
        customer = own_customer()
    if customer is None or customer.stripe_id is None:
        return []
    key = order_key(time.time(), "fetched")
    drifts = []
    for theirs in stripe_client.subscriptions_of(customer.stripe_id):
        try:
            snapshot = read_subscription(theirs, key)
        except UnknownPrice as error:
            drifts.append(Drift(organization_id, theirs["id"], str(error)))
            continue
        with org_context(organization_id):
            if details := list(
                _details(snapshot, Subscription.objects.filter(stripe_id=theirs["id"]).first())
            ):
                drifts.append(Drift(organization_id, theirs["id"], ", ".join(details)))
                if fix:
                    apply_to_subscription(lock_customer(), theirs["id"], snapshot=snapshot)
    return drifts


def _details(theirs: Snapshot, ours: Subscription | None) -> Iterator[str]:
    if ours is None:
        yield f"missing here; {theirs.status} at Stripe"
        return
    known = {name: getattr(ours, name) for name in COMPARED} | {"period_end": ours.state.current_period_end}
    for name in COMPARED:
        if known[name] != getattr(theirs, name):
            yield f"{name} is {known[name]} here, {getattr(theirs, name)} at Stripe"
