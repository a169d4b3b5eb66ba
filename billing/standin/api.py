"""One request to the API, from the key to the answer."""

import base64
import binascii
import copy
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import billing.standin.endpoints  # noqa: F401, it registers the routes
from billing.standin import faults, forms, parameters, routes
from billing.standin.book import Book
from billing.standin.errors import StripeFailure
from billing.standin.expansion import expanded
from billing.standin.idempotency import IdempotentAnswers
from billing.standin.state import Cause, new_id


class Call(NamedTuple):
    method: str
    path: str
    form: str
    # By lower-case name: HTTP does not care how a client spells them.
    headers: Mapping[str, str]


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    # Seconds between its bytes.
    pause: float = 0


class Dropped(Exception):
    """The work is done, the caller shall not hear of it."""


class Api:
    def __init__(self, book: Book, *, api_key: str) -> None:
        self.book = book
        self.api_key = api_key
        self.fault: faults.Fault | None = None
        self.answers = IdempotentAnswers(book.answers)
        self.requests: list[tuple[str, str, dict[str, Any], str | None]] = []

    def answer(self, call: Call) -> Answer:
        headers = {"Request-Id": new_id("req"), "Stripe-Version": "2026-10-28.endive"}
        key = call.headers.get("idempotency-key") if call.method == "POST" else None
        try:
            trouble, status, body, replayed = self.perform(call, key, headers["Request-Id"])
        except StripeFailure as failure:
            return Answer(failure.status, failure.body(), headers)
        if key:
            headers |= {"Idempotency-Key": key} | ({"Idempotent-Replayed": "true"} if replayed else {})
        return Answer(status, body, headers, pause=trouble[1] if trouble[0] == "trickle" else 0)

    def perform(
        self, call: Call, key: str | None, request_id: str
    ) -> tuple[faults.Trouble, int, dict[str, Any], bool]:
        form = forms.read_form(call.form)
        self.requests.append((call.method, call.path, copy.deepcopy(form), key))
        check_key(call.headers.get("authorization", ""), self.api_key)
        trouble = (self.fault(call.method, call.path) if self.fault else None) or ("none",)
        cause = Cause(request_id, key)
        if key is None:
            status, body = self.work(call, form, trouble, cause)
            replayed = False
        else:
            status, body, replayed = self.work_once(call, form, trouble, cause, key)
        if trouble[0] == "drop":
            raise Dropped
        return trouble, status, body, replayed

    def work_once(
        self, call: Call, form: dict[str, Any], trouble: faults.Trouble, cause: Cause, key: str
    ) -> tuple[int, dict[str, Any], bool]:
        stored = self.answers.begin(key, json.dumps([call.method, call.path, form], sort_keys=True))
        if stored is not None:
            return stored["status"], stored["body"], True
        try:
            return *self.work(call, form, trouble, cause), False
        finally:
            self.answers.end(key)

    def work(
        self, call: Call, form: dict[str, Any], trouble: faults.Trouble, cause: Cause
    ) -> tuple[int, dict[str, Any]]:
        """A refused request keeps no answer under its key, unless the card refused it or the server failed."""
        if trouble[0] == "status":
            return self.fail(trouble[1], cause)
        if trouble[0] == "delay":
            time.sleep(trouble[1])
        route, names = routes.find(call.method, call.path)
        params = parameters.read(route.shape, form)
        with self.book.change(cause):
            try:
                answer = (
                    200,
                    expanded(self.book, route.handle(self.book, params, **names), params.get("expand", [])),
                )
            except StripeFailure as failure:
                if failure.status != 402:
                    raise
                answer = failure.status, failure.body()
            if cause.idempotency_key:
                self.answers.keep(cause.idempotency_key, status=answer[0], body=answer[1])
            return answer

    def fail(self, status: int, cause: Cause) -> tuple[int, dict[str, Any]]:
        failure = trouble_answer(status)
        if status < 500:
            raise failure
        if cause.idempotency_key:
            with self.book.change(cause):
                self.answers.keep(cause.idempotency_key, status=status, body=failure.body())
        return status, failure.body()


def check_key(authorization: str, api_key: str) -> None:
    given = key_in(authorization)
    if not given:
        raise StripeFailure(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    if not hmac.compare_digest(given.encode(), api_key.encode()):
        raise StripeFailure(f"Invalid API Key provided: {given[:8]}****", status=401)


def key_in(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return value.strip()
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def trouble_answer(status: int) -> StripeFailure:
    if status == 429:
        return StripeFailure("Too many requests.", status=429, code="rate_limit")
    return StripeFailure("An unknown error occurred.", status=status, kind="api_error")
