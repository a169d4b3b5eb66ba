"""Subscriptions: the period stands on each item, not on the subscription."""

import copy

from billing.standin.state import Json, new_id


def subscription(
    params: Json, *, customer_id: str, currency: str, trial_end: int | None, card_id: str | None, now: int
) -> Json:
    identifier = new_id("sub")
    return {
        "id": identifier,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": automatic_tax(params),
        "billing_cycle_anchor": trial_end or now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": params.get("collection_method", "charge_automatically"),
        "created": now,
        "currency": currency,
        "customer": customer_id,
        "days_until_due": params.get("days_until_due"),
        "default_payment_method": card_id,
        "default_source": None,
        "default_tax_rates": [],
        "description": params.get("description") or None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": item_list(identifier),
        "latest_invoice": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": missing_payment_method(params)}},
        "trial_start": now if trial_end else None,
    }


def automatic_tax(params: Json) -> Json:
    enabled = params.get("automatic_tax", {}).get("enabled", False)
    return {"disabled_reason": None, "enabled": enabled, "liability": None}


def missing_payment_method(params: Json) -> str:
    behavior = params.get("trial_settings", {}).get("end_behavior", {})
    return str(behavior.get("missing_payment_method", "create_invoice"))


def item_list(subscription_id: str) -> Json:
    return {
        "object": "list",
        "data": [],
        "has_more": False,
        "total_count": 0,
        "url": f"/v1/subscription_items?subscription={subscription_id}",
    }


def item(
    price: Json, *, quantity: int, subscription_id: str, period: tuple[int, int], metadata: Json, now: int
) -> Json:
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_start": period[0],
        "current_period_end": period[1],
        "discounts": [],
        "metadata": metadata,
        "price": copy.deepcopy(price),
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }
