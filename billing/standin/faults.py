"""Trouble on purpose. A fault is asked for each API request and answers None or what goes wrong.

`("status", 500)` answers so and does nothing; a 5xx is kept under the idempotency key, as Stripe keeps it. `("delay", 2.0)`
waits before the work, with the key already taken; `("drop",)` does the work and then cuts the line, so that the caller
cannot know that it was done; `("trickle", 1.0)` does the work and sends the answer a byte a second.
"""

from collections.abc import Callable
from typing import Any

Trouble = tuple[Any, ...]
Fault = Callable[[str, str], Trouble | None]


def always(*trouble: Any) -> Fault:
    return lambda method, path: trouble


def once(*trouble: Any, method: str | None = None, path: str | None = None) -> Fault:
    """The first request, or the first with this method and path, meets the trouble; later ones do not."""
    left = [trouble]

    def fault(asked_method: str, asked_path: str) -> Trouble | None:
        if method not in (None, asked_method) or path not in (None, asked_path):
            return None
        try:
            return left.pop()
        except IndexError:
            return None

    return fault
