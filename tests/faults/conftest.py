"""gunicorn with four workers, a Valkey that may be hurt, and lines to it and PostgreSQL that can be cut."""

import itertools
import json
import os
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis import Redis

from saas.launcher.servers import Valkey
from tests.faults.mix import WEBHOOK_SECRET
from tests.faults.proxy import Proxy
from tests.project.serving import running

pytest.register_assert_rewrite("tests.faults.ledger")

WORKERS = 4
# Each goes to the worker that the kernel picks; that one of four is never picked has a chance of 1 in 2,000.
CONNECTIONS = 32
_addresses = itertools.count(1)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = json.loads(response.read())

    def __repr__(self):
        return f"{self.status} {self.body}"


class Stack:
    def __init__(self, server, valkey, proxy, redis_line):
        self.server = server
        self.valkey = valkey
        self.proxy = proxy
        self.redis_line = redis_line
        self.address = ""

    def reset(self):
        # Each test comes from an address of its own, so no limit of one is met by another.
        number = next(_addresses)
        self.address = f"198.18.{number // 250}.{number % 250 + 1}"
        self.proxy.mend()
        self.redis_line.mend()
        self.start_redis()
        with self.redis() as redis:
            redis.flushall()

    def ask(self, method, path, body=None, token=None):
        """One request over a connection of its own."""
        headers = {"X-Forwarded-For": self.address, "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with closing(self.server.connect()) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return Answer(connection.getresponse())

    def me(self, person):
        return self.ask("GET", "/users/me", token=person.access_token)

    def all_workers(self, person):
        """The statuses with which the workers answer a person's token."""
        return {self.me(person).status for _ in range(CONNECTIONS)}

    def log_out(self, person):
        return self.ask("POST", "/auth/logout", {}, token=person.access_token).status

    def redis(self):
        return Redis.from_url(self.valkey.url)

    def stop_redis(self):
        self.valkey.kill()

    def start_redis(self):
        """It comes back empty."""
        if not self.valkey.is_running:
            self.valkey.start()


@pytest.fixture(scope="module")
def _stack(own_database, tmp_path_factory):
    directory = tmp_path_factory.mktemp("faults")
    database = urlsplit(os.environ["DATABASE_URL"])
    proxy = Proxy((database.hostname, database.port))
    line = database._replace(netloc=f"{database.username}:{database.password}@127.0.0.1:{proxy.port}")
    with Valkey(directory / "valkey", durable=False) as valkey:
        redis_line = Proxy(("127.0.0.1", valkey.port))
        variables = {
            "DATABASE_URL": urlunsplit(line),
            "REDIS_URL": valkey.url.replace(f":{valkey.port}/", f":{redis_line.port}/"),
            "WEB_WORKERS": str(WORKERS),
            "TRUSTED_PROXY_COUNT": "1",
            "STRIPE_SECRET_KEY": "sk_test_of_the_fault_tests",
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        with running(directory / "log", **variables) as server:
            yield Stack(server, valkey, proxy, redis_line)
    redis_line.close()
    proxy.close()


@pytest.fixture
def stack(_stack):
    _stack.reset()
    yield _stack
    _stack.reset()
