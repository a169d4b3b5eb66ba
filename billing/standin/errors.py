"""Stripe's error shape: https://docs.stripe.com/api/errors."""

from typing import Any


class StripeFailure(Exception):
    """An answer that is not 2xx, in Stripe's words."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "message": message}
        for name, value in (("code", code), ("param", param), ("decline_code", decline_code)):
            if value is not None:
                self.error[name] = value

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def missing(noun: str, identifier: str, *, param: str | None = None) -> StripeFailure:
    """Stripe answers 404 when the path names the object, 400 when a parameter does."""
    return StripeFailure(
        f"No such {noun}: '{identifier}'",
        status=400 if param else 404,
        code="resource_missing",
        param=param or "id",
    )


def card_declined() -> StripeFailure:
    return StripeFailure(
        "Your card was declined.",
        status=402,
        kind="card_error",
        code="card_declined",
        decline_code="generic_decline",
    )
