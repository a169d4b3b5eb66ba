"""Invoices: the subscription is named by `parent`, the price of a line by `pricing`."""

from typing import Any

from billing.standin.state import Json, new_id

NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "account_tax_ids",
        "application",
        "automatically_finalizes_at",
        "custom_fields",
        "customer_address",
        "customer_phone",
        "customer_shipping",
        "default_payment_method",
        "default_source",
        "due_date",
        "effective_at",
        "ending_balance",
        "footer",
        "from_invoice",
        "hosted_invoice_url",
        "invoice_pdf",
        "last_finalization_error",
        "latest_revision",
        "next_payment_attempt",
        "number",
        "on_behalf_of",
        "parent",
        "receipt_number",
        "rendering",
        "shipping_cost",
        "shipping_details",
        "statement_descriptor",
        "test_clock",
        "webhooks_delivered_at",
    )
)


def invoice(*, customer: Json, currency: str, reason: str, period: tuple[int, int], now: int) -> Json:
    """A draft without lines; the caller adds lines and calls `total_up`."""
    identifier = new_id("in")
    return {
        "id": identifier,
        "object": "invoice",
        **NOTHING,
        "account_country": "US",
        "account_name": "Stripe stand-in",
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{identifier}/lines"},
        "livemode": False,
        "metadata": {},
        "payment_settings": dict.fromkeys(
            ("default_mandate", "payment_method_options", "payment_method_types")
        ),
        "period_start": period[0],
        "period_end": period[1],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def total_up(invoice: Json) -> None:
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    for name in ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax"):
        invoice[name] = total
    invoice["total"] = invoice["total_excluding_tax"] = total


def subscription_parent(subscription: Json) -> Json:
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {"subscription": subscription["id"], "metadata": subscription["metadata"]},
    }


def subscription_line(item: Json, *, invoice_id: str, free: bool, description: str) -> Json:
    price = item["price"]
    amount = 0 if free else (price["unit_amount"] or 0) * item["quantity"]
    parent = {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": item["subscription"],
            "subscription_item": item["id"],
        },
    }
    return line(
        amount=amount,
        currency=price["currency"],
        description=description,
        invoice_id=invoice_id,
        period=(item["current_period_start"], item["current_period_end"]),
        quantity=item["quantity"],
        parent=parent,
    ) | {
        "metadata": item["metadata"],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": "0" if free else price["unit_amount_decimal"],
        },
    }


def item_line(invoice_item: Json, *, invoice_id: str) -> Json:
    details = {
        "invoice_item": invoice_item["id"],
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    return line(
        amount=invoice_item["amount"],
        currency=invoice_item["currency"],
        description=invoice_item["description"],
        invoice_id=invoice_id,
        period=(invoice_item["period"]["start"], invoice_item["period"]["end"]),
        quantity=1,
        parent={
            "type": "invoice_item_details",
            "invoice_item_details": details,
            "subscription_item_details": None,
        },
    )


def line(
    *,
    amount: int,
    currency: str,
    description: str | None,
    invoice_id: str,
    period: tuple[int, int],
    quantity: int,
    parent: Json,
) -> Json:
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": {},
        "parent": parent,
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
    }


def invoice_item(params: Json, *, customer_id: str, now: int) -> Json:
    return {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": params["amount"],
        "currency": params["currency"].lower(),
        "customer": customer_id,
        "date": now,
        "description": params.get("description") or None,
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "net_amount": params["amount"],
        "parent": None,
        "period": {"start": now, "end": now},
        "pricing": None,
        "proration": False,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
    }
