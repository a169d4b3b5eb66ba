"""Billing's mails to the owners. Each goes once for its subscription, period and kind.

Their facts are codes, cents and moments: the words come when a mail is written, in its reader's language.
"""

from datetime import datetime
from typing import Any

from billing.models import Subscription
from billing.reading import period_end_of
from tenancy.mails import queue_mail_to_owners


def subscription_activated(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/subscription_activated",
        occasion=subscription.stripe_id,
        plan=subscription.plan,
        trial_end=_iso(subscription.trial_end),
        period_end=_iso(subscription.state.current_period_end),
    )


def subscription_cancelled(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/subscription_cancelled", occasion=subscription.stripe_id, plan=subscription.plan
    )


def trial_ending(subscription: Subscription) -> None:
    queue_mail_to_owners(
        "billing/trial_ending",
        occasion=f"{subscription.stripe_id}:{_iso(subscription.trial_end)[:10]}",
        plan=subscription.plan,
        trial_end=_iso(subscription.trial_end),
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
        plan=subscription.plan,
        amount=amount or 0,
        currency=invoice.get("currency") or "",
        period_end=_iso(period_end_of(invoice)),
        invoice_url=invoice.get("hosted_invoice_url") or "",
    )


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
