from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

STRIPE = "https://api.stripe.com"
# billing.standin's, unless it is told others.
KNOWN_TO_EVERYBODY = {"sk_test_standin", "whsec_standin"}


def check_billing(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [] if settings.IS_DEVELOPMENT else list(_problems())


def _problems() -> Iterator[CheckMessage]:
    if settings.STRIPE_API_BASE != STRIPE:
        yield Error(
            f"STRIPE_API_BASE is not {STRIPE}: the stand-in takes no money.",
            hint="Leave STRIPE_API_BASE unset.",
            id="billing.E001",
        )
    if settings.STRIPE_SECRET_KEY and not settings.STRIPE_WEBHOOK_SECRETS:
        yield Error(
            "STRIPE_SECRET_KEY is set, but no STRIPE_WEBHOOK_SECRET: payments would never be noticed.",
            hint="Add the endpoint /webhooks/stripe at Stripe, and set the signing secret that it shows.",
            id="billing.E002",
        )
    if any(not secret.startswith("whsec_") for secret in settings.STRIPE_WEBHOOK_SECRETS):
        yield Error(
            "A STRIPE_WEBHOOK_SECRET does not look like one of Stripe's.",
            hint="It begins with whsec_; several are separated by commas while one replaces another.",
            id="billing.E003",
        )
    if KNOWN_TO_EVERYBODY & {settings.STRIPE_SECRET_KEY, *settings.STRIPE_WEBHOOK_SECRETS}:
        yield Error(
            "STRIPE_SECRET_KEY or STRIPE_WEBHOOK_SECRET is the stand-in's: anybody could sign payments.",
            hint="Set those that Stripe shows.",
            id="billing.E004",
        )
    if not settings.STRIPE_SECRET_KEY:
        yield Warning(
            "STRIPE_SECRET_KEY is not set: nobody can pay.",
            hint="Set it, or silence billing.W001 if nothing is to be sold.",
            id="billing.W001",
        )
