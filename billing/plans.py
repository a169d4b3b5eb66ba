"""The plan catalogue. `manage.py sync_plans` writes it to Stripe; what a plan allows is written into organizations."""

from dataclasses import dataclass, field

from django.utils.translation import gettext_noop as _

from tenancy.models import FREE_SEATS

CURRENCY = "usd"
INTERVALS = {"monthly": "month", "yearly": "year"}


@dataclass(frozen=True, slots=True)
class Plan:
    """`prices` are cents by interval; a plan without them is never sold. `seats` of None are unlimited."""

    code: str
    name: str
    description: str
    seats: int | None
    trial_days: int = 0
    prices: dict[str, int] = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, int | None]:
        return {"seats": self.seats}


FREE = Plan("free", _("Free"), _("For trying it out."), seats=FREE_SEATS)
STARTER = Plan(
    "starter",
    _("Starter"),
    _("For small teams."),
    seats=10,
    trial_days=14,
    prices={"monthly": 2900, "yearly": 29000},
)
PROFESSIONAL = Plan(
    "professional",
    _("Professional"),
    _("For growing companies."),
    seats=None,
    trial_days=14,
    prices={"monthly": 9900, "yearly": 99000},
)
PLANS = {plan.code: plan for plan in (FREE, STARTER, PROFESSIONAL)}
SOLD = [plan for plan in PLANS.values() if plan.prices]


def lookup_key(plan: str, interval: str) -> str:
    """The name under which Stripe finds a price, such as `starter_monthly`."""
    return f"{plan}_{interval}"


LOOKUP_KEYS = {
    lookup_key(plan.code, interval): (plan.code, interval) for plan in SOLD for interval in plan.prices
}
