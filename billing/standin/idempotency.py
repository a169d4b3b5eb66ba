"""Idempotency-Key: the first answer is kept and given again; see https://docs.stripe.com/api/idempotent_requests."""

import threading
from typing import Any

from billing.standin.errors import StripeFailure


class IdempotentAnswers:
    """`answers` is the book's own dictionary, so that a restart still knows the keys."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.in_flight: dict[str, str] = {}
        self.lock = threading.Lock()

    def begin(self, key: str, fingerprint: str) -> dict[str, Any] | None:
        """The stored answer, or None when the caller may go on and must call `end` afterwards."""
        with self.lock:
            stored = self.answers.get(key)
            if key in self.in_flight:
                raise in_use(key)
            if stored is None:
                self.in_flight[key] = fingerprint
                return None
        if stored["fingerprint"] != fingerprint:
            raise reused(key)
        return dict(stored)

    def keep(self, key: str, *, status: int, body: dict[str, Any]) -> None:
        self.answers[key] = {"fingerprint": self.in_flight[key], "status": status, "body": body}

    def end(self, key: str) -> None:
        with self.lock:
            self.in_flight.pop(key, None)


def in_use(key: str) -> StripeFailure:
    return StripeFailure(
        f"There is currently another in-progress request using this Idempotent Key ({key}). Please try again later.",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )


def reused(key: str) -> StripeFailure:
    return StripeFailure(
        f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )
