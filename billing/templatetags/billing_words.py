"""Plans, amounts and days as people write them, in the language and time zone in force."""

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from billing.plans import PLANS

register = template.Library()

# https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL = (
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"
)  # fmt: skip


@register.filter
def plan_name(code: str) -> str:
    return _(PLANS[code].name) if code in PLANS else _("your plan")


@register.filter
def money(amount: int, currency: str) -> str:
    """Of Stripe's smallest unit: (2900, "usd") is USD 29.00."""
    places = 0 if currency in ZERO_DECIMAL else 2
    number = number_format(Decimal(amount).scaleb(-places), places, force_grouping=True)
    return _("%(currency)s %(number)s") % {"currency": currency.upper(), "number": number}


@register.filter
def day(moment: str) -> str:
    """Of a moment in ISO 8601, as JSON holds it."""
    return date_format(timezone.localtime(datetime.fromisoformat(moment)))
