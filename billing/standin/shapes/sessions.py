"""Checkout sessions and portal sessions."""

import copy
from typing import Any

from billing.standin.state import Json, new_id

DAY = 24 * 3600
ECHOED = (
    "allow_promotion_codes",
    "billing_address_collection",
    "client_reference_id",
    "locale",
    "payment_method_collection",
    "success_url",
    "cancel_url",
    "submit_type",
)


def checkout_session(params: Json, *, customer: Json | None, items: list[Json], url: str, now: int) -> Json:
    identifier = new_id("cs_test")
    total = sum(item["amount_total"] for item in items)
    return {
        "id": identifier,
        "object": "checkout.session",
        **NOTHING,
        **{name: params.get(name) for name in ECHOED},
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": automatic_tax(params),
        "created": now,
        "currency": items[0]["currency"],
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer": customer["id"] if customer else None,
        "customer_creation": None if customer or params["mode"] == "subscription" else "if_required",
        "customer_details": customer_details(customer, params.get("customer_email")),
        "customer_email": params.get("customer_email") or None,
        "expires_at": params.get("expires_at", now + DAY),
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "mode": params["mode"],
        "payment_method_types": params.get("payment_method_types", ["card"]),
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{url}/checkout/{identifier}",
    }


NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "adaptive_pricing",
        "after_expiration",
        "client_secret",
        "collected_information",
        "consent",
        "consent_collection",
        "currency_conversion",
        "discounts",
        "invoice",
        "invoice_creation",
        "origin_context",
        "payment_intent",
        "payment_link",
        "payment_method_configuration_details",
        "payment_method_options",
        "permissions",
        "recovered_from",
        "saved_payment_method_options",
        "setup_intent",
        "shipping_address_collection",
        "shipping_cost",
        "subscription",
        "wallet_options",
    )
)


def automatic_tax(params: Json) -> Json:
    enabled = params.get("automatic_tax", {}).get("enabled", False)
    return {"enabled": enabled, "liability": None, "provider": None, "status": None}


def customer_details(customer: Json | None, email: str | None) -> Json | None:
    if customer is None and not email:
        return None
    return {
        "address": None,
        "email": customer["email"] if customer else email,
        "name": customer["name"] if customer else None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def line_item(price: Json, *, quantity: int, name: str) -> Json:
    total = (price["unit_amount"] or 0) * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": price["currency"],
        "description": name,
        "price": copy.deepcopy(price),
        "quantity": quantity,
    }


def portal_session(params: Json, *, customer_id: str, url: str, now: int) -> Json:
    identifier = new_id("bps")
    return {
        "id": identifier,
        "object": "billing_portal.session",
        "configuration": params.get("configuration") or "bpc_standin",
        "created": now,
        "customer": customer_id,
        "flow": None,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url"),
        "url": f"{url}/portal/{identifier}",
    }
