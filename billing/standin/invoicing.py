"""The life of an invoice: draft, open, paid or failed."""

from billing.standin.errors import StripeFailure
from billing.standin.shapes import invoices
from billing.standin.shapes.customers import CARD_THAT_FAILS
from billing.standin.state import Json, State

RETRY_AFTER = 3 * 24 * 3600


def draft_for(state: State, subscription: Json, *, reason: str) -> Json:
    """The invoice of the subscription's present period; free of charge while it is on trial."""
    items = subscription["items"]["data"]
    invoice = invoices.invoice(
        customer=state.find("customers", subscription["customer"]),
        currency=subscription["currency"],
        reason=reason,
        period=(items[0]["current_period_start"], items[0]["current_period_end"]),
        now=state.now(),
    )
    free = subscription["status"] == "trialing"
    invoice["lines"]["data"] = [
        invoices.subscription_line(
            item, invoice_id=invoice["id"], free=free, description=describe(state, item, free=free)
        )
        for item in items
    ]
    invoice["parent"] = invoices.subscription_parent(subscription)
    invoice["default_payment_method"] = subscription["default_payment_method"]
    invoices.total_up(invoice)
    subscription["latest_invoice"] = invoice["id"]
    return state.add("invoices", invoice)


def describe(state: State, item: Json, *, free: bool) -> str:
    name = state.products[item["price"]["product"]]["name"]
    return f"Trial period for {name}" if free else f"{item['quantity']} × {name}"


def finalize(state: State, invoice: Json) -> None:
    customer = state.find("customers", invoice["customer"])
    invoice["status"] = "open"
    invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}"
    invoice["hosted_invoice_url"] = f"{state.url}/invoices/{invoice['id']}"
    invoice["effective_at"] = invoice["status_transitions"]["finalized_at"] = state.now()
    customer["next_invoice_sequence"] += 1
    state.emit("invoice.finalized", invoice)


def pay(state: State, invoice: Json) -> None:
    invoice |= {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
    }
    # Nothing is charged for nothing, so an invoice of 0 has no attempt.
    invoice["attempt_count"] += 1 if invoice["amount_due"] else 0
    invoice["status_transitions"]["paid_at"] = state.now()
    state.emit("invoice.paid", invoice)
    state.emit("invoice.payment_succeeded", invoice)


def fail(state: State, invoice: Json) -> None:
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if invoice["parent"]:
        invoice["next_payment_attempt"] = state.now() + RETRY_AFTER
    state.emit("invoice.payment_failed", invoice)


def card_pays(state: State, *, customer: Json, card_id: str | None) -> bool:
    card = state.payment_methods.get(card_id or customer["invoice_settings"]["default_payment_method"] or "")
    return card is not None and card["card"]["last4"] != CARD_THAT_FAILS


def open_invoice(state: State, subscription: Json) -> Json:
    for invoice in reversed(state.invoices.values()):
        details = (invoice["parent"] or {}).get("subscription_details") or {}
        if details.get("subscription") == subscription["id"] and invoice["status"] == "open":
            return invoice
    raise StripeFailure(f"Subscription {subscription['id']} has no open invoice.")
