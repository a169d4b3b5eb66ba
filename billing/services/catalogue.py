"""Keeps Stripe's products and prices in step with the catalogue in billing.plans."""

from dataclasses import dataclass
from typing import Any

from billing import stripe_client
from billing.plans import CURRENCY, INTERVALS, LOOKUP_KEYS, PLANS, SOLD, Plan, lookup_key
from billing.stripe_client import StripeClient


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing to do at Stripe, and a line that says so."""

    line: str
    operation: str
    parameters: dict[str, Any]
    stripe_id: str = ""


def differences() -> list[Difference]:
    """What Stripe lacks. An empty list says that the two agree. Raises what billing.stripe_client raises."""
    return stripe_client.call(
        "compare_plans",
        lambda client: [*_products(client), *_prices(client)],
        seconds=stripe_client.LISTING_SECONDS,
    )


def bring_in_step(found: list[Difference]) -> None:
    """Do what `differences` found. Repeating it is harmless."""
    stripe_client.call(
        "sync_plans", lambda client: _carry_out(client, found), seconds=stripe_client.LISTING_SECONDS
    )


def product_id(plan: Plan) -> str:
    return f"saas_{plan.code}"


def _products(client: StripeClient) -> list[Difference]:
    ids = [product_id(plan) for plan in SOLD]
    known = {product.id: product for product in client.v1.products.list({"ids": ids, "limit": 100}).data}
    found = []
    for plan in SOLD:
        wanted: dict[str, Any] = {"name": plan.name, "description": plan.description}
        product = known.get(product_id(plan))
        if product is None:
            parameters = {**wanted, "id": product_id(plan), "metadata": {"plan": plan.code}}
            found.append(Difference(f"+ product {plan.name}", "create_product", parameters))
            continue
        changed = {name: value for name, value in wanted.items() if getattr(product, name, None) != value}
        if not product.active:
            changed["active"] = True
        if changed:
            line = f"~ product {plan.name}: {', '.join(sorted(changed))}"
            found.append(Difference(line, "update_product", changed, product.id))
    return found


def _prices(client: StripeClient) -> list[Difference]:
    keys = list(LOOKUP_KEYS)
    known = {
        price.lookup_key: price for price in client.v1.prices.list({"lookup_keys": keys, "limit": 100}).data
    }
    found = []
    for key, (code, interval) in LOOKUP_KEYS.items():
        plan, price = PLANS[code], known.get(key)
        if price is not None and _is_same(price, plan, interval):
            continue
        parameters = {
            "product": product_id(plan),
            "currency": CURRENCY,
            "unit_amount": plan.prices[interval],
            "recurring": {"interval": INTERVALS[interval]},
            "lookup_key": lookup_key(code, interval),
            # An amount can't be changed: a new price takes the key over, and who has the old one keeps it.
            "transfer_lookup_key": True,
            "metadata": {"lookup_key": key},
        }
        amount = f"{plan.prices[interval] / 100:.2f} {CURRENCY.upper()}"
        line = f"+ price {key}: {amount}" if price is None else f"~ price {key}: {_amount(price)} -> {amount}"
        found.append(Difference(line, "create_price", parameters))
    return found


def _is_same(price: Any, plan: Plan, interval: str) -> bool:
    is_ours = price.product == product_id(plan) and price.active
    terms = (price.unit_amount, price.currency, price.recurring and price.recurring.interval)
    return is_ours and terms == (plan.prices[interval], CURRENCY, INTERVALS[interval])


def _amount(price: Any) -> str:
    return f"{(price.unit_amount or 0) / 100:.2f} {price.currency.upper()}"


def _carry_out(client: StripeClient, found: list[Difference]) -> None:
    for difference in found:
        parameters: Any = difference.parameters
        if difference.operation == "create_product":
            client.v1.products.create(parameters)
        elif difference.operation == "update_product":
            client.v1.products.update(difference.stripe_id, parameters)
        else:
            client.v1.prices.create(parameters)
