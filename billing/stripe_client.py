"""Every call to Stripe: bounded in time, and with an answer for when it fails. Nothing else imports `stripe`."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import stripe
from django.conf import settings
from django.db import connections
from django.utils.translation import gettext_lazy as _
from stripe import StripeClient as StripeClient

from billing import deadline, metrics
from saas.kit.errors import DomainError, MalformedRequest

logger = logging.getLogger(__name__)

# All tries of one operation together. Whoever waits holds a thread.
OPERATION_SECONDS = 8.0
TRY_SECONDS = 3.5
# Commands and jobs wait longer than a person does.
LISTING_SECONDS = 120.0
# What only adds to a page is not waited for as long.
GLANCE_SECONDS = 4.0
TRIES = 2
TOLERANCE_SECONDS = 300

T = TypeVar("T")


class ProviderFailure(DomainError):
    """A call to Stripe that came to nothing.

    `is_definite`: Stripe answered, so it repeats that answer to the idempotency key for a day. Otherwise nobody
    knows what became of the call.
    """

    is_definite = False


class PaymentProviderError(ProviderFailure):
    code = "payment_provider_error"
    status = 502
    title = "Payment provider error"
    detail = "The payment provider refused this. Nothing was changed; try again, or ask support."
    words = _("The payment provider refused this. Nothing was changed; try again, or ask support.")


class PaymentProviderUnavailable(ProviderFailure):
    code = "payment_provider_unavailable"
    status = 503
    title = "Payment provider unavailable"
    detail = "The payment provider does not answer just now. Nothing was changed; try again soon."
    words = _("The payment provider does not answer just now. Nothing was changed; try again soon.")
    retry_after = 10


class BillingNotConfigured(ProviderFailure):
    code = "billing_not_configured"
    status = 503
    title = "Billing not configured"
    detail = "This installation has no account at the payment provider."
    words = _("Nothing can be bought here: this installation has no account at a payment provider.")
    retry_after = 3600


class InvalidSignature(DomainError):
    code = "invalid_signature"
    status = 400
    title = "Invalid signature"
    detail = "The Stripe-Signature header does not fit the body, or is older than five minutes."


class NotAtStripe(PaymentProviderError):
    """Stripe does not know the object (`resource_missing`)."""


class KeyReused(PaymentProviderError):
    """The idempotency key was used with other parameters before."""


class StripeCalledInTransaction(RuntimeError):
    """A call to Stripe would hold a transaction and its locks for as long as Stripe likes."""


class BoundedClient(stripe.RequestsClient):
    """Gives each try what is left of the operation's time, and none after it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(timeout=TRY_SECONDS, session=deadline.session())
        self._deadline = time.monotonic() + seconds

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **kwargs: Any
    ) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise stripe.APIConnectionError("the operation's time is over", should_retry=False)  # type: ignore[no-untyped-call]
        self._timeout = min(TRY_SECONDS, left)
        try:
            with deadline.ending_at(self._deadline):
                return super().request(method, url, headers, post_data)
        except stripe.APIConnectionError as error:
            # The library sleeps before it tries again.
            is_worth_it = self._deadline - time.monotonic() > self.INITIAL_DELAY
            error.should_retry = error.should_retry and is_worth_it
            raise


# Replaced by the tests' client, which checks each call against Stripe's own description.
http_client: Callable[[float], stripe.RequestsClient] = BoundedClient


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def call(operation: str, function: Callable[[StripeClient], T], *, seconds: float = OPERATION_SECONDS) -> T:
    """Run calls to Stripe within `seconds` in all.

    Raises a ProviderFailure: BillingNotConfigured, PaymentProviderUnavailable, or a PaymentProviderError, of
    which NotAtStripe and KeyReused are special ones.
    """
    if not is_configured():
        raise BillingNotConfigured
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        raise StripeCalledInTransaction(operation)
    client = StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE},
        http_client=http_client(seconds),
        max_network_retries=TRIES - 1,
    )
    try:
        result = function(client)
    except stripe.StripeError as error:
        raise _translated(operation, error) from error
    metrics.STRIPE_CALLS.labels(operation, "answered").inc()
    return result


def _translated(operation: str, error: stripe.StripeError) -> ProviderFailure:
    status = error.http_status or 0
    # 409: the same creation is under way under its idempotency key, in another request.
    is_definite = status not in (0, 409, 429)
    is_away = not is_definite or status >= 500
    is_missing = error.code == "resource_missing"
    metrics.STRIPE_CALLS.labels(operation, "unavailable" if is_away else "refused").inc()
    logger.log(
        logging.WARNING if is_away or is_missing else logging.ERROR,
        "Stripe %s failed: %s %s (%s, request %s)",
        operation,
        type(error).__name__,
        error.user_message,
        error.code,
        error.request_id,
    )
    failure = PaymentProviderUnavailable() if is_away else _refusal(error)
    failure.is_definite = is_definite
    return failure


def _refusal(error: stripe.StripeError) -> PaymentProviderError:
    if isinstance(error, stripe.IdempotencyError):
        return KeyReused()
    return NotAtStripe() if error.code == "resource_missing" else PaymentProviderError()


def verified_event(body: bytes, signature: str) -> dict[str, Any]:
    """The event in a webhook's body. Raises BillingNotConfigured without a secret, InvalidSignature
    or MalformedRequest.

    https://docs.stripe.com/webhooks#verify-manually
    """
    secrets = _webhook_secrets()
    if not secrets:
        raise BillingNotConfigured
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise InvalidSignature
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is signed, but is no JSON.") from error
    if not isinstance(event, dict):
        raise MalformedRequest("The body is signed, but is no event.")
    return event


def event_signed_before(body: bytes, signature: str) -> dict[str, Any] | None:
    """The event in a body that was verified when it came; None if no secret of now has signed it."""
    is_signed = any(_is_signed(body, signature, secret, tolerance=None) for secret in _webhook_secrets())
    event: dict[str, Any] | None = json.loads(body) if is_signed else None
    return event


def _webhook_secrets() -> list[str]:
    return [secret for secret in settings.STRIPE_WEBHOOK_SECRETS if secret]


def _is_signed(
    body: bytes, signature: str, secret: str, *, tolerance: int | None = TOLERANCE_SECONDS
) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def is_other_mode(event: dict[str, Any]) -> bool:
    """Whether an event is of Stripe's test mode and our key of live mode, or the reverse: then its money is none."""
    if not is_configured() or not isinstance(event.get("livemode"), bool):
        return False
    return bool(event["livemode"] != ("_live_" in settings.STRIPE_SECRET_KEY))


def fetch_event(event_id: str) -> dict[str, Any]:
    """An event as Stripe keeps it, for 30 days. Raises what `call` raises."""
    return call("fetch_event", lambda client: client.v1.events.retrieve(event_id)).to_dict(for_json=True)


def fetch_subscription(subscription_id: str, *, seconds: float = OPERATION_SECONDS) -> dict[str, Any]:
    """The subscription as it is now. Raises what `call` raises."""
    found = call(
        "fetch_subscription",
        lambda client: client.v1.subscriptions.retrieve(subscription_id),
        seconds=seconds,
    )
    return found.to_dict(for_json=True)


def knows_customer(client: StripeClient, customer_id: str) -> bool:
    """Whether it is at Stripe and not deleted. For a function that `call` runs."""
    try:
        found = client.v1.customers.retrieve(customer_id)
    except stripe.InvalidRequestError as error:
        if error.code != "resource_missing":
            raise
        return False
    return not found.to_dict().get("deleted")


def subscriptions_of(customer_id: str) -> list[dict[str, Any]]:
    """All of them, ended ones included."""
    return call(
        "list_subscriptions", lambda client: list_subscriptions(client, customer_id), seconds=LISTING_SECONDS
    )


def list_subscriptions(client: StripeClient, customer_id: str) -> list[dict[str, Any]]:
    """The same for a function that `call` runs."""
    parameters: Any = {"customer": customer_id, "status": "all", "limit": 100}
    found = client.v1.subscriptions.list(parameters).auto_paging_iter()
    return [each.to_dict(for_json=True) for each in found]


def latest_invoices(customer_id: str, *, limit: int) -> list[dict[str, Any]]:
    """The newest first, drafts among them. Raises what `call` raises."""
    parameters: Any = {"customer": customer_id, "limit": limit}
    found = call(
        "list_invoices", lambda client: client.v1.invoices.list(parameters).data, seconds=GLANCE_SECONDS
    )
    return [each.to_dict(for_json=True) for each in found]


def events_since(moment: int, types: list[str]) -> list[dict[str, Any]]:
    """Stripe keeps 30 days of them. Newest first, as Stripe lists them."""
    parameters: Any = {"created": {"gte": moment}, "types": types, "limit": 100}
    found = call(
        "list_events",
        lambda client: list(client.v1.events.list(parameters).auto_paging_iter()),
        seconds=LISTING_SECONDS,
    )
    return [each.to_dict(for_json=True) for each in found]
