"""Stripe's customer portal, where a subscription is changed and paid."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import stripe_client
from billing.selectors import customer as own_customer
from billing.services.checkout import forget_customer
from billing.services.subscriptions import lock_customer
from saas.kit.errors import DomainError
from tenancy.context import org_context


class NoBillingCustomer(DomainError):
    code = "no_billing_customer"
    status = 409
    title = "No billing customer"
    detail = "The organization has never been to a checkout, so there is nothing to manage yet."
    words = _(
        "The organization has never been to a checkout, so there is nothing to manage yet. Choose a plan first."
    )


def open_portal(*, organization_id: UUID, return_url: str) -> str:
    """A link to Stripe's customer portal, good for a few minutes. Raises NoBillingCustomer, also if Stripe
    knows the customer no more: the next checkout makes another."""
    with org_context(organization_id):
        customer = own_customer()
    if customer is None or customer.stripe_id is None:
        raise NoBillingCustomer
    parameters: Any = {"customer": customer.stripe_id, "return_url": return_url}
    try:
        session = stripe_client.call(
            "portal", lambda client: client.v1.billing_portal.sessions.create(parameters)
        )
    except stripe_client.NotAtStripe as error:
        with org_context(organization_id):
            forget_customer(lock_customer(), customer.stripe_id)
        raise NoBillingCustomer from error
    return session.url
