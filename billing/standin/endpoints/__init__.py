"""The API's endpoints; importing this package registers them."""

from billing.standin.endpoints import (
    checkout,
    customers,
    events,
    invoices,
    payment_methods,
    portal,
    prices,
    products,
    subscriptions,
)

__all__ = [
    "checkout",
    "customers",
    "events",
    "invoices",
    "payment_methods",
    "portal",
    "prices",
    "products",
    "subscriptions",
]
