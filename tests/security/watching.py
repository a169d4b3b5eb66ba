"""What an answer says, and what it cost: so that two of them can be told apart, or can't."""

import re
from contextlib import ExitStack, contextmanager
from itertools import count
from uuid import uuid4

import pytest
from django.contrib.auth.hashers import get_hashers
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django_redis import get_redis_connection

from accounts.hashers import BulkheadPasswordHasher

LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+\b|(?<=SAVEPOINT )\S+")
# What a connection to Redis that is new, or was idle for long, says first.
GREETING = ("AUTH", "SELECT", "CLIENT", "PING")
# What differs from one answer to the next, whoever asks.
CHANGING = [
    (re.compile(r'(csrfmiddlewaretoken" value=)"\w+"'), r"\1"),
    (re.compile(r'("request_id": ?)"[\w.-]+"'), r"\1"),
    (re.compile(r"<code>[0-9a-f]{32}</code>"), ""),
]
_addresses = count(1)


def address_of_nobody_yet():
    """A client's: no limit of one is met by another."""
    number = next(_addresses)
    return f"198.19.{number // 250}.{number % 250 + 1}"


class CountingHasher(BulkheadPasswordHasher):
    """Notes the cost of each hash that is made."""

    costs = []

    def encode(self, password, salt):
        self.costs.append(salt.decode()[4:6])
        return super().encode(password, salt)


@contextmanager
def watched():
    """What happens meanwhile: hashes by their cost, statements without their literals, commands to Redis."""
    redis, work = get_redis_connection("default"), []
    database, end = redis.connection_pool.connection_kwargs["db"], uuid4().hex
    CountingHasher.costs.clear()
    with redis.monitor() as monitor, ExitStack() as stack:
        captured = [
            stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in ("default", "support")
        ]
        yield work
        redis.echo(end)
        commands = _until(monitor, end)
    work += [f"a hash of {cost} rounds" for cost in CountingHasher.costs]
    work += [LITERAL.sub("?", query["sql"]) for queries in captured for query in queries]
    work += [name for number, name in commands if number == database and name not in GREETING]


def _until(monitor, end):
    seen = []
    while end not in (command := monitor.next_command())["command"]:
        seen.append((command["db"], command["command"].split()[0]))
    return seen


@pytest.fixture
def counting(settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    yield
    get_hashers.cache_clear()


def said(answer, *typed):
    """All that an answer says, but for what changes each time and what was `typed` into the request."""
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    cookies = {
        name: {key: value for key, value in cookie.items() if key != "expires"}
        for name, cookie in answer.cookies.items()
    }
    text = answer.content.decode()
    for pattern, replacement in CHANGING:
        text = pattern.sub(replacement, text)
    for each in typed:
        text = text.replace(each, "")
    # The page's own size follows from what was typed.
    headers.pop("Content-Length", None)
    return answer.status_code, headers, cookies, text
