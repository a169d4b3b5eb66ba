"""The stand-in's events as Stripe wrote them before API version 2025-03-31.basil, after recorded ones of 2020-08-27.

https://docs.stripe.com/changelog/basil
"""

import copy

OLD = "2020-08-27"


def as_old(event):
    """The same event in the old layout."""
    old = copy.deepcopy(event) | {"api_version": OLD}
    thing = old["data"]["object"]
    convert = {"subscription": _old_subscription, "invoice": _old_invoice}.get(thing["object"])
    if convert:
        convert(thing)
    return old


def with_expanded_ids(event):
    """Any id may arrive as the whole object."""
    expanded = copy.deepcopy(event)
    thing = expanded["data"]["object"]
    for name in ("customer", "subscription"):
        if isinstance(thing.get(name), str):
            thing[name] = {"id": thing[name], "object": name, "metadata": {}}
    details = ((thing.get("parent") or {}).get("subscription_details")) or {}
    if details.get("subscription"):
        details["subscription"] = {"id": details["subscription"], "object": "subscription"}
    return expanded


def _old_subscription(subscription):
    item = subscription["items"]["data"][0]
    for name in ("current_period_start", "current_period_end"):
        subscription[name] = item.pop(name)
    price = item["price"]
    item["plan"] = subscription["plan"] = {
        "id": price["id"],
        "object": "plan",
        "active": True,
        "amount": price["unit_amount"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": 1,
        "metadata": {},
        "nickname": None,
        "product": price["product"],
    }
    subscription["quantity"] = item["quantity"]
    subscription.pop("billing_mode", None)


def _old_invoice(invoice):
    details = invoice.pop("parent")["subscription_details"]
    invoice["subscription"] = details["subscription"]
    invoice["subscription_details"] = {"metadata": details["metadata"]}
    invoice["paid"] = invoice["status"] == "paid"
    invoice["charge"] = f"ch_{invoice['id']}" if invoice["paid"] else None
    invoice["payment_intent"] = f"pi_{invoice['id']}"
    invoice.pop("payments", None)
    for line in invoice["lines"]["data"]:
        pricing = line.pop("pricing", None)
        line["price"] = {"id": pricing["price_details"]["price"], "object": "price"} if pricing else None
        line.pop("parent", None)
        line["type"] = "subscription"
