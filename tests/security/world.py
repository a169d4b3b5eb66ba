"""Two organizations and what their clients know of them: the ledger that every answer is held against."""

import itertools
import json
import re
from dataclasses import dataclass, field
from functools import cache

import yaml
from django.test import Client

from saas.openapi import document
from tests.conftest import PASSWORD

numbers = itertools.count(1)
# Strangers are counted by their /64; each takes part in so many requests.
REQUESTS_OF_AN_ADDRESS = 40


@cache
def documented_statuses():
    """(method, pattern of the path, statuses) as the OpenAPI document has them."""
    return list(_documented_statuses())


def _documented_statuses():
    for path, operations in yaml.safe_load(document())["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method, operation in operations.items():
            if method != "parameters":
                yield method, pattern, {int(status) for status in operation["responses"]}


@dataclass(eq=False)
class Someone:
    side: "Side"
    id: str
    email: str
    tokens: dict
    password: str = PASSWORD
    # Whether these tokens are known to be over.
    is_gone: bool = False


@dataclass(eq=False)
class Side:
    name: str
    id: str = ""
    people: list[Someone] = field(default_factory=list)
    invitations: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    # What its own people alone may read, and what is the other side's but was written down here by its own people.
    secrets: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


class World:
    def __init__(self):
        self.statuses = documented_statuses()
        self.addresses = (
            f"2001:db8:{number:x}:1::1" for number in numbers for _ in range(REQUESTS_OF_AN_ADDRESS)
        )
        self.seen = []
        self.sides = []
        for name in ("nordwind", "suedhang"):
            self._found(f"{name}{next(numbers)}x")

    def _found(self, name):
        side = Side(name, secrets={name})
        self.sides.append(side)
        body = {"email": f"owner@{name}.example", "password": PASSWORD, "org": name, "name": f"Olive {name}"}
        status, tokens = self.call(side, "post", "/auth/register", body=body)
        assert status == 201, tokens
        side.id = tokens["org_id"]
        side.secrets.add(side.id)
        self.arrive(side, body["email"], tokens)

    def arrive(self, side, email, tokens):
        someone = Someone(side, tokens["user_id"], email, tokens)
        side.people.append(someone)
        side.secrets |= {someone.id, email}
        self.learn_session(someone)

    def learn_session(self, someone):
        _, body = self.call(someone.side, "post", "/auth/validate", someone.tokens)
        assert body["active"], body
        someone.side.sessions.append(body["sid"])
        someone.side.secrets.add(body["sid"])

    def call(self, side, method, path, tokens=None, body=None):
        """One request of somebody on `side`: its status and body, once these were held against document and ledger."""
        headers = {"Authorization": f"Bearer {tokens['access_token']}"} if tokens else {}
        data = {} if method == "get" else {"data": json.dumps(body or {}), "content_type": "application/json"}
        client = Client(raise_request_exception=False, REMOTE_ADDR=next(self.addresses))
        answer = getattr(client, method)(path, headers=headers, **data)
        self._hold_status(method, path, answer)
        self._hold_text(side, path + json.dumps(body or {}), answer)
        self.seen.append((method, answer.status_code))
        return answer.status_code, json.loads(answer.content or "{}")

    def _hold_status(self, method, path, answer):
        [documented] = [
            statuses
            for verb, pattern, statuses in self.statuses
            if verb == method and pattern.fullmatch(path)
        ]
        assert answer.status_code in documented, (method, path, answer.status_code, answer.content)
        assert answer.status_code != 500

    def _hold_text(self, side, asked, answer):
        """Nothing of the other organization, but for what this request itself said."""
        text = f"{answer.content.decode()} {dict(answer.headers)}".lower()
        foreign = set().union(*(other.secrets for other in self.sides if other is not side))
        foreign = {secret for secret in foreign if secret not in asked and secret not in " ".join(side.told)}
        found = {secret for secret in foreign if secret in text}
        assert not found, (asked, answer.status_code, found, text)
