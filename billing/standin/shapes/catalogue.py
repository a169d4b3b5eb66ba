"""Products and prices."""

from billing.standin.state import Json, new_id


def product(params: Json, *, now: int) -> Json:
    return {
        "id": params.get("id") or new_id("prod"),
        "object": "product",
        "active": params.get("active", True),
        "created": now,
        "default_price": None,
        "description": params.get("description") or None,
        "images": params.get("images", []),
        "livemode": False,
        "marketing_features": params.get("marketing_features", []),
        "metadata": params.get("metadata", {}),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": params.get("statement_descriptor") or None,
        "tax_code": params.get("tax_code") or None,
        "unit_label": params.get("unit_label") or None,
        "updated": now,
        "url": params.get("url") or None,
    }


def price(params: Json, *, product_id: str, now: int) -> Json:
    amount = params.get("unit_amount")
    recurring = params.get("recurring")
    return {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key") or None,
        "metadata": params.get("metadata", {}),
        "nickname": params.get("nickname") or None,
        "product": product_id,
        "recurring": recurrence(recurring) if recurring else None,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
    }


def recurrence(given: Json) -> Json:
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": None,
        "usage_type": given.get("usage_type", "licensed"),
    }
