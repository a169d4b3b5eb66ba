"""Billing's mails to the owners. Each goes once for its subscription, period and kind."""

from datetime import datetime
from typing import Any

from billing.models import Subscription
from billing.plans import PLANS
from billing.reading import period_end_of
from tenancy.mails import queue_mail_to_owners

# https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)


def subscription_activated(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/subscription_activated",
        occasion=subscription.stripe_id,
        plan=plan_name(subscription),
        trial_end=spoken_date(subscription.trial_end),
        period_end=spoken_date(subscription.state.current_period_end),
    )


def subscription_cancelled(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/subscription_cancelled", occasion=subscription.stripe_id, plan=plan_name(subscription)
    )


def trial_ending(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/trial_ending",
        occasion=f"{subscription.stripe_id}:{spoken_date(subscription.trial_end)}",
        plan=plan_name(subscription),
        trial_end=spoken_date(subscription.trial_end),
    )


def payment_received(subscription: Subscription, invoice: dict[str, Any]) -> None:
    _about_invoice("billing/payment_received", subscription, invoice, amount=invoice.get("amount_paid"))


def payment_failed(subscription: Subscription, invoice: dict[str, Any]) -> None:
    _about_invoice("billing/payment_failed", subscription, invoice, amount=invoice.get("amount_due"))


def _about_invoice(
    message: str, subscription: Subscription, invoice: dict[str, Any], *, amount: int | None
) -> None:
    # An invoice stands for its period: Stripe reports the same payment, or a new try, under the same one.
    queue_mail_to_owners(
        message,
        occasion=f"{subscription.stripe_id}:{invoice['id']}",
        plan=plan_name(subscription),
        amount=spoken_amount(amount or 0, invoice.get("currency") or ""),
        period_end=spoken_date(period_end_of(invoice)),
        invoice_url=invoice.get("hosted_invoice_url") or "",
    )


def plan_name(subscription: Subscription) -> str:
    return PLANS[subscription.plan].name if subscription.plan in PLANS else "your plan"


def spoken_date(moment: datetime | None) -> str:
    return f"{moment:%-d %B %Y}" if moment else ""


def spoken_amount(amount: int, currency: str) -> str:
    """Stripe's smallest unit as people write it: (2900, "usd") is USD 29.00."""
    number = f"{amount:,}" if currency in ZERO_DECIMAL else f"{amount / 100:,.2f}"
    return f"{currency.upper()} {number}"
