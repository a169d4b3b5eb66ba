"""Plans, states and invoices as a page says them."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from billing.plans import CURRENCY, PLANS, Plan
from billing.reading import moment
from billing.state import SUSPENDED, Status
from billing.templatetags.billing_words import money


def state_words(standing: dict[str, Any]) -> tuple[str, str]:
    """The state in a word or two, and the tone of its tag."""
    status = standing["status"]
    if standing["cancel_at_period_end"] and status not in SUSPENDED:
        return _("Cancelled"), "warning"
    return {
        Status.TRIALING: (_("Trial"), "accent"),
        Status.ACTIVE: (_("Active"), "good"),
        Status.PAST_DUE: (_("Payment failed"), "error"),
        Status.UNPAID: (_("Unpaid"), "error"),
        Status.PAUSED: (_("Paused"), "warning"),
        Status.INCOMPLETE: (_("Waiting for the payment"), "warning"),
    }.get(status, (_("Free"), ""))


def next_date(standing: dict[str, Any]) -> tuple[str, datetime | None]:
    """What comes next, and when."""
    if standing["grace_ends_at"]:
        return _("Read-only from"), standing["grace_ends_at"]
    if standing["cancel_at_period_end"]:
        return _("Ends on"), standing["current_period_end"]
    if standing["status"] == Status.TRIALING:
        return _("First payment on"), standing["current_period_end"]
    if standing["status"] == Status.ACTIVE:
        return _("Renews on"), standing["current_period_end"]
    return "", None


def offers() -> list[dict[str, Any]]:
    """Every plan, with its prices."""
    return [{"plan": plan, "prices": _prices(plan), "seats": _seats(plan)} for plan in PLANS.values()]


def _prices(plan: Plan) -> list[dict[str, str]]:
    per = {"monthly": _("a month"), "yearly": _("a year")}
    return [
        {"interval": interval, "amount": money(amount, CURRENCY), "per": per[interval]}
        for interval, amount in plan.prices.items()
    ]


def _seats(plan: Plan) -> str:
    return _("%(seats)s seats") % {"seats": plan.seats} if plan.seats else _("As many seats as you like")


def invoice_row(invoice: dict[str, Any]) -> dict[str, Any]:
    states = {
        "paid": (_("Paid"), "good"),
        "open": (_("Open"), "error"),
        "uncollectible": (_("Unpaid"), "error"),
        "void": (_("Void"), ""),
    }
    word, tone = states.get(invoice["status"], (invoice["status"], ""))
    return {
        "number": invoice.get("number") or invoice["id"],
        "date": moment(invoice.get("created")),
        "amount": money(invoice.get("total") or 0, invoice.get("currency") or CURRENCY),
        "word": word,
        "tone": tone,
        "url": invoice.get("hosted_invoice_url") or "",
        "is_open": invoice["status"] == "open",
    }
