from typing import Any
from uuid import UUID

from billing import stripe_client
from billing.selectors import customer
from tenancy.context import org_context

SHOWN = 24


def own_invoices(organization_id: UUID) -> list[dict[str, Any]]:
    """The organization's latest invoices as Stripe shows them, newest first, without drafts.

    Opens its own context, and none while Stripe is asked. Raises a ProviderFailure.
    """
    with org_context(organization_id):
        known = customer()
    if known is None or known.stripe_id is None:
        return []
    try:
        found = stripe_client.latest_invoices(known.stripe_id, limit=SHOWN)
    except stripe_client.NotAtStripe:
        return []  # The customer was deleted there; the next checkout makes another.
    return [invoice for invoice in found if invoice["status"] != "draft"]
