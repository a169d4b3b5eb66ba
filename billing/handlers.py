"""What each event of Stripe does: one short idempotent function a type, called under the customer's lock."""

from collections.abc import Callable
from dataclasses import dataclass

from billing import emails
from billing.models import Customer
from billing.reading import EventFacts, id_of, read_payment, read_subscription
from billing.services.subscriptions import Change, apply_to_subscription
from billing.state import SUSPENDED, Payment, Snapshot, Status, order_key

BASE_KEY = order_key(0, "customer.subscription.created")


@dataclass(frozen=True, slots=True)
class Delivery:
    """`fetched` is the subscription as Stripe has it now; None while Stripe can't be asked."""

    facts: EventFacts
    customer: Customer
    fetched: Snapshot | None


Handler = Callable[[Delivery], Change]
HANDLERS: dict[str, Handler] = {}


def handles(*types: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(types, handler))
        return handler

    return register


@handles(
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.deleted",
)
def customer_subscription_changed(delivery: Delivery) -> Change:
    return _take_snapshot(delivery)


@handles("customer.subscription.trial_will_end")
def customer_subscription_trial_will_end(delivery: Delivery) -> Change:
    change = _take_snapshot(delivery)
    if change.subscription.status == Status.TRIALING and not change.is_stale:
        emails.trial_ending(change.subscription)
    return change


@handles("checkout.session.completed", "checkout.session.async_payment_succeeded")
def checkout_session_completed(delivery: Delivery) -> Change:
    customer, session = delivery.customer, delivery.facts.object
    if customer.checkout_id == id_of(session["id"]):
        customer.checkout_key, customer.checkout_id, customer.checkout_url = None, "", ""
        customer.save(update_fields=["checkout_key", "checkout_id", "checkout_url"])
    is_paid = session.get("payment_status") in ("paid", "no_payment_required")
    return apply_to_subscription(
        customer,
        delivery.facts.subscription_id,
        # The session tells the plan, and nothing that a snapshot would not know better.
        snapshot=delivery.fetched or _first_snapshot(delivery.facts),
        # That it was paid, not when: the invoice says that, and has its receipt.
        is_paid=is_paid,
    )


@handles("invoice.paid", "invoice.payment_succeeded")
def invoice_payment_succeeded(delivery: Delivery) -> Change:
    change = _take_payment(delivery, Payment.PAID)
    # A payment took place, however late we hear of it: each has its receipt, once.
    if delivery.facts.object.get("amount_paid"):
        emails.payment_received(change.subscription, delivery.facts.object)
    return change


@handles("invoice.payment_failed")
def invoice_payment_failed(delivery: Delivery) -> Change:
    change = _take_payment(delivery, Payment.FAILED)
    # At the first payment, in the checkout, the customer is there and sees it.
    if not change.is_stale and change.subscription.status in SUSPENDED:
        emails.payment_failed(change.subscription, delivery.facts.object)
    return change


def _take_snapshot(delivery: Delivery) -> Change:
    facts = delivery.facts
    own = delivery.fetched or read_subscription(facts.object, facts.key)
    return apply_to_subscription(delivery.customer, facts.subscription_id, snapshot=own)


def _take_payment(delivery: Delivery, payment: Payment) -> Change:
    """Stale is what the newest payment says; that the subscription was fetched meanwhile makes no payment old."""
    customer, subscription_id = delivery.customer, delivery.facts.subscription_id
    if delivery.fetched:
        apply_to_subscription(customer, subscription_id, snapshot=delivery.fetched)
    return apply_to_subscription(customer, subscription_id, payment=read_payment(delivery.facts, payment))


def _first_snapshot(facts: EventFacts) -> Snapshot:
    session = facts.object
    incomplete = {
        "id": facts.subscription_id,
        "status": Status.INCOMPLETE,
        "metadata": session.get("metadata"),
    }
    return read_subscription(incomplete, BASE_KEY)
