"""Checkout: two short transactions, with the calls to Stripe between them."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing import stripe_client
from billing.models import Customer
from billing.plans import PLANS, lookup_key
from billing.reading import moment
from billing.services.events import queue_refresh
from billing.services.subscriptions import has_subscription, lock_customer
from billing.state import WITHOUT_A_PLAN
from billing.stripe_client import KeyReused, PaymentProviderUnavailable, ProviderFailure, StripeClient
from saas.kit import clock
from saas.kit.errors import DomainError
from tenancy.context import org_context
from tenancy.mails import active_owners
from tenancy.models import Organization

# Longer than all calls of one checkout: after that, whoever began it is gone.
ABANDONED_AFTER = timedelta(seconds=60)
# A double click. Who comes back later may have paid meanwhile, so Stripe is asked.
HANDED_OUT_FOR = timedelta(seconds=5)
# Stripe forgets idempotency keys, and ends sessions, after a day.
REUSED_FOR = timedelta(hours=23)


class SubscriptionExists(DomainError):
    code = "subscription_exists"
    status = 409
    title = "Subscription exists"
    detail = (
        "The organization has a subscription already. POST /payments/portal is the way to change or pay it."
    )
    words = _("The organization has a subscription already. Change or pay it at the payment provider.")


class SubscribedAtStripe(SubscriptionExists):
    """Paid, but its events are not here yet."""

    def __init__(self, subscription_id: str) -> None:
        super().__init__()
        self.subscription_id = subscription_id


class CheckoutInProgress(DomainError):
    code = "checkout_in_progress"
    status = 409
    title = "Checkout in progress"
    detail = "Another checkout of this organization is just being made. Try again in a few seconds."
    words = _("Another checkout of this organization is just being made. Try again in a few seconds.")
    retry_after = 5


class CustomerGone(PaymentProviderUnavailable):
    """Our customer was deleted at Stripe, or is of another account."""

    is_definite = True


class SessionOver(PaymentProviderUnavailable):
    """The stored session was paid or has expired."""

    is_definite = True


def start_checkout(
    *, organization_id: UUID, plan: str, interval: str, success_url: str, cancel_url: str
) -> Customer:
    """The organization's one open checkout of this plan, made if there is none; on its customer's row.

    Raises SubscriptionExists, CheckoutInProgress or what billing.stripe_client raises.
    """
    wanted = {"plan": plan, "interval": interval, "success_url": success_url, "cancel_url": cancel_url}
    until = time.monotonic() + stripe_client.OPERATION_SECONDS
    try:
        return _try_checkout(organization_id, wanted, until)
    except (KeyReused, CustomerGone, SessionOver):
        # What the first try began with is of no use any more, a changed price too; this one has new keys.
        return _try_checkout(organization_id, wanted, until)


def _try_checkout(organization_id: UUID, wanted: dict[str, str], until: float) -> Customer:
    with org_context(organization_id):
        customer = _begin(wanted)
    if customer.checkout_url and _is_fresh(customer):
        return customer
    try:
        session = _call("checkout", lambda client: _open_session(client, customer), until)
    except ProviderFailure as failure:
        with org_context(organization_id):
            _note_failure(customer, failure)
        raise
    except SubscribedAtStripe as found:
        with org_context(organization_id):
            queue_refresh(found.subscription_id)
        raise
    with org_context(organization_id):
        if finished := _finish(customer, session):
            return finished
    # Somebody began another one meanwhile; there is to be one.
    _call("expire_checkout", lambda client: client.v1.checkout.sessions.expire(session.id), until)
    raise CheckoutInProgress


def _is_fresh(customer: Customer) -> bool:
    started_at = customer.checkout_started_at
    return started_at is not None and started_at > clock.now() - HANDED_OUT_FOR


def _call(operation: str, function: Callable[[StripeClient], Any], until: float) -> Any:
    return stripe_client.call(operation, function, seconds=until - time.monotonic())


def _begin(wanted: dict[str, str]) -> Customer:
    customer = lock_customer()
    if has_subscription():
        raise SubscriptionExists
    trial_days = 0 if customer.trial_used_at else PLANS[wanted["plan"]].trial_days
    parameters = {**wanted, "trial_days": trial_days}
    now = clock.now()
    started_at = customer.checkout_started_at
    if customer.checkout_key and started_at and started_at > now - REUSED_FOR:
        if customer.checkout_parameters == parameters:
            return customer
        if not customer.checkout_url and started_at > now - ABANDONED_AFTER:
            raise CheckoutInProgress
    customer.checkout_key, customer.checkout_started_at, customer.checkout_parameters = (
        uuid4(),
        now,
        parameters,
    )
    customer.checkout_id, customer.checkout_url, customer.checkout_expires_at = "", "", None
    if customer.creation_parameters is None:
        # Kept, since Stripe refuses a creation repeated under its key with other parameters.
        customer.creation_parameters = _creation_parameters()
    customer.save()
    return customer


def _creation_parameters() -> dict[str, Any]:
    organization, owner = Organization.objects.get(), active_owners()[0]
    metadata = {"org_id": str(organization.id)}
    return {"name": organization.name, "email": owner.email, "metadata": metadata}


def _open_session(client: StripeClient, customer: Customer) -> Any:
    """Also notes the customer's id on `customer`, which is not saved here."""
    if customer.stripe_id is None:
        customer.stripe_id = _create_customer(client, customer)
    elif not stripe_client.knows_customer(client, customer.stripe_id):
        raise CustomerGone
    # In this order: what is expired can't be paid after the look at what was.
    _expire_others(client, customer)
    _refuse_subscribed(client, customer)
    if customer.checkout_id:
        return _stored_session(client, customer)
    parameters = _session_parameters(client, customer)
    return client.v1.checkout.sessions.create(parameters, {"idempotency_key": str(customer.checkout_key)})


def _create_customer(client: StripeClient, customer: Customer) -> str:
    parameters: Any = customer.creation_parameters
    return client.v1.customers.create(parameters, {"idempotency_key": str(customer.creation_key)}).id


def _expire_others(client: StripeClient, customer: Customer) -> None:
    """Sessions of earlier tries. A creation that was repeated may bring a customer that has some."""
    listing: Any = {"customer": customer.stripe_id, "status": "open"}
    for session in client.v1.checkout.sessions.list(listing).data:
        if session.to_dict(for_json=True)["metadata"].get("checkout_key") != str(customer.checkout_key):
            client.v1.checkout.sessions.expire(session.id)


def _refuse_subscribed(client: StripeClient, customer: Customer) -> None:
    for subscription in stripe_client.list_subscriptions(client, customer.stripe_id or ""):
        if subscription["status"] not in WITHOUT_A_PLAN:
            raise SubscribedAtStripe(subscription["id"])


def _stored_session(client: StripeClient, customer: Customer) -> Any:
    session = client.v1.checkout.sessions.retrieve(customer.checkout_id)
    if session.status != "open":
        raise SessionOver
    return session


def _session_parameters(client: StripeClient, customer: Customer) -> Any:
    wanted = customer.checkout_parameters or {}
    organization_id = str(customer.organization_id)
    key = lookup_key(wanted["plan"], wanted["interval"])
    prices = client.v1.prices.list({"lookup_keys": [key], "active": True}).data
    if not prices:
        raise stripe_client.PaymentProviderError(f"The price {key} is not for sale yet.")
    metadata = {"org_id": organization_id, "plan": wanted["plan"], "interval": wanted["interval"]}
    subscription: dict[str, Any] = {"metadata": metadata}
    if wanted["trial_days"]:
        subscription["trial_period_days"] = wanted["trial_days"]
    return {
        "mode": "subscription",
        "customer": customer.stripe_id,
        "client_reference_id": organization_id,
        "line_items": [{"price": prices[0].id, "quantity": 1}],
        "metadata": {**metadata, "checkout_key": str(customer.checkout_key)},
        "subscription_data": subscription,
        "success_url": wanted["success_url"],
        "cancel_url": wanted["cancel_url"],
    }


def _lock(begun: Customer) -> Customer:
    """The row, with the customer's id that was learned meanwhile."""
    customer = lock_customer()
    if customer.stripe_id is None and customer.creation_key == begun.creation_key:
        customer.stripe_id = begun.stripe_id
        customer.save(update_fields=["stripe_id"])
    return customer


def _note_failure(begun: Customer, failure: ProviderFailure) -> None:
    """Stripe repeats an answer to its idempotency key for a day, a failure too: then the next try has new ones."""
    customer = _lock(begun)
    if isinstance(failure, CustomerGone):
        forget_customer(customer, begun.stripe_id)
    if not failure.is_definite or customer.checkout_key != begun.checkout_key:
        return
    customer.checkout_key = None
    if customer.stripe_id is None:
        customer.creation_key, customer.creation_parameters = uuid4(), None
    customer.save(update_fields=["checkout_key", "creation_key", "creation_parameters"])


def forget_customer(customer: Customer, stripe_id: str | None) -> None:
    """A session of that customer is of no use either."""
    if customer.stripe_id != stripe_id:
        return
    customer.stripe_id, customer.checkout_key = None, None
    customer.creation_key, customer.creation_parameters = uuid4(), None
    customer.save(update_fields=["stripe_id", "checkout_key", "creation_key", "creation_parameters"])


def _finish(begun: Customer, session: Any) -> Customer | None:
    customer = _lock(begun)
    if customer.checkout_key != begun.checkout_key:
        return None
    customer.checkout_id, customer.checkout_url = session.id, session.url
    customer.checkout_expires_at = moment(session.expires_at)
    customer.save(update_fields=["checkout_id", "checkout_url", "checkout_expires_at"])
    return customer


def way_back() -> str:
    """Where Stripe sends people who are given no other way."""
    return f"{settings.PUBLIC_URL}{reverse('billing')}"


def ways_back() -> dict[str, str]:
    return {"success_url": f"{way_back()}?checkout=done", "cancel_url": way_back()}


def is_own_url(url: str) -> bool:
    """Whether it is one of our pages, or of a front-end that may call the API."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" in {settings.PUBLIC_URL, *settings.CORS_ALLOWED_ORIGINS}
