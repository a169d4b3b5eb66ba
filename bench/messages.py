"""Whole HTTP requests, prepared before a run, so that the client has nothing to do but send them."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.environment import HOST
from bench.people import PASSWORD, Organization, Person
from bench.tokens import Signer

# What comes in through the proxy header; no limit is met from so many addresses.
WEBHOOK_ADDRESSES = [f"172.16.{number >> 8}.{number & 255}" for number in range(500)]


def message(
    method: str,
    path: str,
    *,
    address: str,
    token: str = "",
    body: dict[str, Any] | bytes | None = None,
    **headers: str,
) -> bytes:
    """One HTTP request, as our proxy would pass it on."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "Host": HOST,
        "Accept": "application/json",
        "X-Forwarded-For": address,
        "X-Forwarded-Proto": "https",
        **({"Authorization": f"Bearer {token}"} if token else {}),
        **({"Content-Type": "application/json", "Content-Length": str(len(content))} if content else {}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


def write(file: Path, messages: Iterable[bytes]) -> Path:
    """In the form that bench/wrk.lua and bench.client read."""
    with file.open("wb") as output:
        for each in messages:
            output.write(each + b"\0")
    return file


class Messages:
    """Each method makes the requests of one measured route."""

    def __init__(
        self, people: list[Person], admins: list[Person], *, signer: Signer, webhook_secret: str
    ) -> None:
        self._people, self._admins = people, admins
        self._signer, self._secret = signer, webhook_secret
        # A refresh token works once: sessions are taken from here and never come back.
        spare = zip(*(person.sessions[1:] for person in people), strict=True)
        self._spare = (pair for sessions in spare for pair in zip(people, sessions, strict=True))
        self._organizations = itertools.cycle({person.organization for person in people})
        self._created = int(time.time()) - 100_000

    def read_me(self, count: int = 200) -> Iterator[bytes]:
        return (
            message("GET", "/users/me", address=person.address, token=self._access(person))
            for person in self._people[:count]
        )

    def read_members(self) -> Iterator[bytes]:
        return (
            message("GET", "/users/org", address=person.address, token=self._access(person))
            for person in self._admins
        )

    def change_me(self) -> Iterator[bytes]:
        for number, person in enumerate(self._people):
            changes = {"name": f"Changed {number}", "timezone": "Europe/Berlin"}
            yield message(
                "PATCH", "/users/me", address=person.address, token=self._access(person), body=changes
            )

    def validate(self) -> Iterator[bytes]:
        return (
            message("POST", "/auth/validate", address=person.address, token=self._access(person), body={})
            for person in self._people
        )

    def log_in(self) -> Iterator[bytes]:
        for person in self._people:
            body = {"email": person.email, "password": PASSWORD}
            yield message("POST", "/auth/login", address=person.address, body=body)

    def refresh(self, count: int) -> Iterator[bytes]:
        for person, session in itertools.islice(self._spare, count):
            body = {"refresh_token": self._signer.refresh(person, session)}
            yield message("POST", "/auth/refresh", address=person.address, body=body)

    def stripe_events(self, count: int) -> Iterator[bytes]:
        """New events, each later than the one before it."""
        for number in range(count):
            self._created += 1
            event = subscription_updated(next(self._organizations), created=self._created)
            body = json.dumps(event).encode()
            yield message(
                "POST",
                "/webhooks/stripe",
                address=WEBHOOK_ADDRESSES[number % len(WEBHOOK_ADDRESSES)],
                body=body,
                Stripe_Signature=sign(body, self._secret),
            )

    def _access(self, person: Person) -> str:
        return self._signer.access(person, person.sessions[0])


def sign(body: bytes, secret: str) -> str:
    """The Stripe-Signature header: https://docs.stripe.com/webhooks#verify-manually."""
    now = int(time.time())
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={signature}"


def subscription_updated(organization: Organization, *, created: int) -> dict[str, Any]:
    item = {
        "id": f"si_bench{organization.number}",
        "object": "subscription_item",
        "current_period_start": created,
        "current_period_end": created + 30 * 86_400,
        "price": {"id": "price_bench", "object": "price", "lookup_key": "starter_monthly"},
        "quantity": 1,
    }
    subscription = {
        "id": f"sub_bench{organization.number}",
        "object": "subscription",
        "customer": organization.customer,
        "status": "active",
        "created": 1_767_225_600,
        "cancel_at_period_end": False,
        "items": {"object": "list", "data": [item]},
        "metadata": {"org_id": str(organization.id), "plan": "starter", "interval": "monthly"},
    }
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": "customer.subscription.updated",
        "api_version": "2026-10-28.endive",
        "created": created,
        "livemode": False,
        "data": {"object": subscription},
    }
