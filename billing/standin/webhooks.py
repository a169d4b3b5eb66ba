"""Signed events on their way to the webhook's receiver: https://docs.stripe.com/webhooks#verify-manually."""

import hashlib
import heapq
import hmac
import http.client
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

logger = logging.getLogger("billing.standin")

TIMEOUT = 10
LONGEST_WAIT = 60
GIVE_UP_AFTER = 3 * 24 * 3600


def sign(body: bytes, secret: str, timestamp: int | None = None) -> str:
    """The value of the Stripe-Signature header for this body."""
    timestamp = int(time.time()) if timestamp is None else timestamp
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Parcel(NamedTuple):
    """An event to deliver at a moment of the monotonic clock; the number keeps the order among equals."""

    due: float
    number: int
    attempt: int
    event: dict[str, Any]


class Courier:
    """Delivers events in the background and tries again, ever later, until the receiver answers 2xx."""

    def __init__(
        self,
        *,
        url: str | None,
        secret: str,
        body: Callable[[dict[str, Any]], bytes],
        delivered: Callable[[str], None],
        first_wait: float = 1,
    ) -> None:
        self.url = url
        self.secret = secret
        self.body = body
        self.delivered = delivered
        self.first_wait = first_wait
        self.parcels: list[Parcel] = []
        self.number = 0
        self.open = True
        self.deliver = True
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, name="stripe-standin-courier", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        with self.changed:
            self.open = False
            self.changed.notify()
        self.thread.join(TIMEOUT)

    def hold(self, held: bool) -> None:
        with self.changed:
            self.deliver = not held
            self.changed.notify()

    def take(self, event: dict[str, Any], *, attempt: int = 1, wait: float = 0) -> None:
        if self.url is None:
            return
        with self.changed:
            self.number += 1
            heapq.heappush(self.parcels, Parcel(time.monotonic() + wait, self.number, attempt, event))
            self.changed.notify()

    def run(self) -> None:
        while (parcel := self.next_parcel()) is not None:
            self.try_once(parcel)

    def next_parcel(self) -> Parcel | None:
        with self.changed:
            while self.open:
                if self.deliver and self.parcels and self.parcels[0].due <= time.monotonic():
                    return heapq.heappop(self.parcels)
                self.changed.wait(self.until_next())
        return None

    def until_next(self) -> float | None:
        if not self.deliver or not self.parcels:
            return None
        return max(0.0, self.parcels[0].due - time.monotonic())

    def try_once(self, parcel: Parcel) -> None:
        event = parcel.event
        try:
            status = self.send(self.body(event))
        except (OSError, http.client.HTTPException) as error:
            self.again(parcel, reason=f"{type(error).__name__}: {error}")
            return
        if not 200 <= status < 300:
            self.again(parcel, reason=f"answered {status}")
            return
        logger.info("webhook %s %s delivered (%s)", event["type"], event["id"], status)
        self.delivered(event["id"])

    def again(self, parcel: Parcel, *, reason: str) -> None:
        event = parcel.event
        if time.time() - event["created"] > GIVE_UP_AFTER:
            logger.error("webhook %s %s given up: %s", event["type"], event["id"], reason)
            return
        wait = min(LONGEST_WAIT, self.first_wait * 2 ** (parcel.attempt - 1))
        logger.warning("webhook %s %s: %s; again in %s s", event["type"], event["id"], reason, wait)
        self.take(event, attempt=parcel.attempt + 1, wait=wait)

    def send(self, body: bytes) -> int:
        """One POST; a redirect is not followed, Stripe counts it as a failure."""
        parts = urlsplit(self.url or "")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=TIMEOUT)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (stand-in)",
            "Stripe-Signature": sign(body, self.secret),
        }
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, body=body, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()
