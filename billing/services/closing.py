"""What ends at Stripe before an organization is removed: nothing may be paid, now or later."""

from uuid import UUID

from billing import stripe_client
from billing.models import Customer
from billing.state import ENDED
from billing.stripe_client import StripeClient
from tenancy.context import org_context


def close_billing(organization_id: UUID) -> None:
    """Expire open checkouts and cancel what is subscribed, at once. Raises what billing.stripe_client raises.

    To do it again is harmless.
    """
    with org_context(organization_id):
        customer = Customer.objects.exclude(stripe_id=None).first()
    if customer is not None and customer.stripe_id:
        stripe_id = customer.stripe_id
        stripe_client.call(
            "close_customer", lambda client: _close(client, stripe_id), seconds=stripe_client.LISTING_SECONDS
        )


def _close(client: StripeClient, customer_id: str) -> None:
    if not stripe_client.knows_customer(client, customer_id):
        return
    # In this order: what is expired can't be paid, and so begins no subscription, after the look at those.
    for session in client.v1.checkout.sessions.list(
        {"customer": customer_id, "status": "open"}
    ).auto_paging_iter():
        client.v1.checkout.sessions.expire(session.id)
    for subscription in stripe_client.list_subscriptions(client, customer_id):
        if subscription["status"] not in ENDED:
            client.v1.subscriptions.cancel(subscription["id"])
