"""Compares our subscriptions with Stripe's, where the truth is."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from billing import stripe_client
from billing.models import Subscription
from billing.reading import UnknownPrice, read_subscription
from billing.selectors import customer as own_customer
from billing.selectors import governing_subscription
from billing.services.subscriptions import allowed, apply_to_subscription, lock_customer, write_down
from billing.state import ENDED, Snapshot, order_key
from saas.kit.errors import DomainError
from tenancy.context import org_context
from tenancy.database import database_time
from tenancy.models import Organization

logger = logging.getLogger(__name__)

COMPARED = ("status", "plan", "interval", "period_end", "cancel_at_period_end")
UNKNOWN_AT_STRIPE = (
    "is {status} here, unknown at Stripe. If STRIPE_SECRET_KEY is of the account and the mode that it was "
    "made in, ask Stripe what became of it; nothing is changed here"
)


class Drift(NamedTuple):
    organization_id: UUID
    subject: str
    detail: str
    is_mended: bool

    def __str__(self) -> str:
        return f"{self.organization_id} {self.subject}: {self.detail}"


class Failure(NamedTuple):
    """An organization that could not be compared."""

    organization_id: UUID
    detail: str

    def __str__(self) -> str:
        return f"{self.organization_id} could not be compared: {self.detail}"


def reconcile_all(organization_ids: Iterable[UUID], *, fix: bool) -> Iterator[Drift | Failure]:
    """`reconcile` for several organizations. One that fails is logged and yielded, and the others go on."""
    for organization_id in organization_ids:
        try:
            yield from reconcile(organization_id, fix=fix)
        except Exception as error:
            logger.exception("Organization %s could not be compared with Stripe", organization_id)
            yield Failure(organization_id, _description(error))


def _description(error: Exception) -> str:
    if isinstance(error, DomainError):
        return f"{error.title}: {error.detail}"
    return f"{type(error).__name__}: {error}"


def reconcile(organization_id: UUID, *, fix: bool) -> Iterator[Drift]:
    """Where an organization differs from Stripe; with `fix`, ours is made like Stripe's where that can be done.

    Raises what billing.stripe_client raises, and KeyError and the like for an answer that makes no sense.
    """
    with org_context(organization_id):
        customer = own_customer()
        # Read before Stripe is asked: what begins meanwhile is no difference.
        ours = dict(Subscription.objects.exclude(status__in=ENDED).values_list("stripe_id", "status"))
    if customer is None or customer.stripe_id is None:
        return
    key = order_key(database_time(), "fetched")
    for theirs in stripe_client.subscriptions_of(customer.stripe_id):
        ours.pop(theirs["id"], None)
        if drift := _compare(organization_id, theirs, key, fix=fix):
            yield drift
    for stripe_id, status in sorted(ours.items()):
        yield Drift(organization_id, stripe_id, UNKNOWN_AT_STRIPE.format(status=status), is_mended=False)
    if drift := _compare_columns(organization_id, fix=fix):
        yield drift


def _compare(organization_id: UUID, theirs: dict[str, Any], key: str, *, fix: bool) -> Drift | None:
    stripe_id = theirs["id"]
    try:
        snapshot = read_subscription(theirs, key)
    except UnknownPrice as error:
        return Drift(organization_id, stripe_id, str(error), is_mended=False)
    with org_context(organization_id):
        customer = lock_customer()
        ours = customer.subscriptions.filter(stripe_id=stripe_id).first()
        details = ", ".join(_details(snapshot, ours))
        if not details:
            return None
        is_mended = fix and not apply_to_subscription(customer, stripe_id, snapshot=snapshot).is_stale
    return Drift(organization_id, stripe_id, details, is_mended)


def _compare_columns(organization_id: UUID, *, fix: bool) -> Drift | None:
    """What the organization may do against what its subscriptions allow, by the grace days of now."""
    with org_context(organization_id):
        lock_customer()
        organization = Organization.objects.get()
        details = ", ".join(
            f"{name} is {getattr(organization, name)}, its subscriptions allow {value}"
            for name, value in allowed(governing_subscription()).items()
            if getattr(organization, name) != value
        )
        if details and fix:
            write_down()
    return Drift(organization_id, "organization", details, is_mended=fix) if details else None


def _details(theirs: Snapshot, ours: Subscription | None) -> Iterator[str]:
    if ours is None:
        yield f"missing here; {theirs.status} at Stripe"
        return
    known = {name: getattr(ours, name) for name in COMPARED} | {"period_end": ours.state.current_period_end}
    for name in COMPARED:
        if known[name] != getattr(theirs, name):
            yield f"{name} is {known[name]} here, {getattr(theirs, name)} at Stripe"
