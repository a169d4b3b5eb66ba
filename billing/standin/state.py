"""Everything the stand-in knows, under one lock, kept in a file if one is given."""

import copy
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from billing.standin.errors import missing

Json = dict[str, Any]

API_VERSION = "2026-10-28.endive"

COLLECTIONS = {
    "customers": "customer",
    "products": "product",
    "prices": "price",
    "payment_methods": "payment_method",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "invoice_items": "invoiceitem",
    "checkout_sessions": "checkout.session",
    "portal_sessions": "billing_portal.session",
    "line_items": "line item",
    "events": "event",
}
# What is kept besides objects: `subscription_data` of open checkouts, and answers by idempotency key.
ASIDE = ("session_data", "answers")


class Cause(NamedTuple):
    """The API request that events come from; pages and the time machine have none."""

    request_id: str | None = None
    idempotency_key: str | None = None


class State:
    customers: dict[str, Json]
    products: dict[str, Json]
    prices: dict[str, Json]
    payment_methods: dict[str, Json]
    subscriptions: dict[str, Json]
    invoices: dict[str, Json]
    invoice_items: dict[str, Json]
    checkout_sessions: dict[str, Json]
    portal_sessions: dict[str, Json]
    line_items: dict[str, list[Json]]
    events: dict[str, Json]
    session_data: dict[str, Json]
    answers: dict[str, Any]

    def __init__(self, path: Path | None = None, *, url: str = "http://127.0.0.1") -> None:
        self.path = path
        self.url = url
        self.clock: Callable[[], float] = time.time
        self.webhooks = 0
        self.publish: Callable[[Json], None] = lambda event: None
        self.lock = threading.RLock()
        self.depth = 0
        self.cause = Cause()
        self.fresh: list[Json] = []
        self.saved = ""
        stored = json.loads(path.read_text()) if path and path.exists() else {}
        for name in (*COLLECTIONS, *ASIDE):
            setattr(self, name, stored.get(name, {}))

    def now(self) -> int:
        return int(self.clock())

    def find(self, collection: str, identifier: str, *, param: str | None = None) -> Json:
        found: Json | None = getattr(self, collection).get(identifier)
        if found is None:
            raise missing(COLLECTIONS[collection], identifier, param=param)
        return found

    @contextmanager
    def change(self, cause: Cause | None = None) -> Iterator[None]:
        """Holds the lock; the outermost change saves and sends its events, also when it ends in a refusal."""
        with self.lock:
            self.depth += 1
            self.cause = cause or self.cause
            try:
                yield
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.cause = Cause()
                    self.settle()

    def settle(self) -> None:
        self.save()
        fresh, self.fresh = self.fresh, []
        for event in fresh:
            self.publish(event)

    def save(self) -> None:
        if self.path is None:
            return
        text = json.dumps({name: getattr(self, name) for name in (*COLLECTIONS, *ASIDE)})
        if text != self.saved:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(f".{os.getpid()}.draft")
            draft.write_text(text)
            draft.replace(self.path)
            self.saved = text

    def add(self, collection: str, thing: Json, event: str | None = None) -> Json:
        getattr(self, collection)[thing["id"]] = thing
        if event:
            self.emit(event, thing)
        return thing

    def emit(self, kind: str, thing: Json, previous: Json | None = None) -> Json:
        data = {"object": copy.deepcopy(thing)} | ({"previous_attributes": previous} if previous else {})
        event: Json = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": self.webhooks,
            "request": {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
            "type": kind,
        }
        self.events[event["id"]] = event
        self.fresh.append(event)
        return event

    @contextmanager
    def updating(self, thing: Json, event: str) -> Iterator[None]:
        """Sends `event` with what was different before, if anything is different after."""
        before = copy.deepcopy(thing)
        yield
        previous = difference(before, thing)
        if previous:
            self.emit(event, thing, previous)

    def mark_delivered(self, event_id: str) -> None:
        with self.change():
            self.events[event_id]["pending_webhooks"] = 0


def difference(before: Json, after: Json) -> Json:
    """Old values of what changed; hashes are compared key by key, lists as a whole."""
    changed: Json = {}
    for key in (*before, *(key for key in after if key not in before)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        both = isinstance(old, dict) and isinstance(new, dict)
        changed[key] = difference(old or {}, new or {}) if both else old
    return changed


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
