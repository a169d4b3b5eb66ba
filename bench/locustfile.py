"""Many people at once: 70 reads, 15 refreshes, 5 log-outs, and log-ins apart. Started by bench.crowds.

Log-ins have users of their own, as many as are hashed at a time: bcrypt bounds them at one a core and fifth of a
second, so that in the mix everybody would soon be waiting for a log-in and nothing else would be measured.
"""

import itertools
import json
import os
import random
import ssl
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task

from bench.crowds import PLANS
from bench.environment import HOST
from bench.people import PASSWORD, Person, sample
from bench.scenarios import LOGIN_CONNECTIONS
from bench.tokens import Signer
from bench.window import Window

SETTINGS = json.loads(os.environ["BENCH_CROWD"])
PEOPLE, ADMINS = sample(SETTINGS["people"], size=SETTINGS["people"], sessions=SETTINGS["sessions"])
SIGNER = Signer(keys=Path(os.environ["JWT_KEYS_DIR"]), issuer=os.environ["PUBLIC_URL"])
# In turn over the people, so that the sessions of one are far apart.
fresh = deque((person, person.sessions[turn]) for turn in range(SETTINGS["sessions"]) for person in PEOPLE)
# Signed before anybody comes: at 3 ms each they would hold up those who are about to connect.
ready = deque(SIGNER.access(*each) for each in itertools.islice(fresh, SETTINGS["users"]))
numbers = itertools.count()
# nginx' certificate is of this run's own.
TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE
window = Window(amount=100, seconds=60)


class Client(FastHttpUser):
    abstract = True
    wait_time = constant(SETTINGS["think_seconds"])
    network_timeout = connection_timeout = 60
    # One for all, and one that takes `cafile`: every authority's certificate would else be read for each client anew.
    ssl_context_factory = staticmethod(lambda cafile="": TLS)

    def on_start(self) -> None:
        number = next(numbers)
        self.address = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"

    def call(self, method: str, path: str, *, token: str = "", body: Any = None, name: str = "") -> Any:
        """The answer's JSON, or None for what was no success."""
        headers = {"Host": HOST, "X-Forwarded-For": self.address, "X-Forwarded-Proto": "https"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with self.client.request(
            method, path, name=name or f"{method} {path}", headers=headers, json=body, catch_response=True
        ) as response:
            if 200 <= response.status_code < 300:
                return response.json()
            response.failure(f"{response.status_code} {response.text or response.error}")
        return None


class Visitor(Client):
    """Somebody who is logged in, and after a log-out goes on with another session."""

    def on_start(self) -> None:
        super().on_start()
        self.enter()

    def enter(self) -> None:
        if not fresh:
            raise RuntimeError("the sessions ran out: open more beforehand")
        self.person, session = fresh.popleft()
        self.session = session
        self.access = ready.popleft() if ready else SIGNER.access(self.person, session)
        self.refresh = ""

    @task(60)
    def read_me(self) -> None:
        self.call("GET", "/users/me", token=self.access)

    @task(10)
    def read_members(self) -> None:
        if self.person.role == "member":
            self.call("GET", "/auth/sessions", token=self.access)
        else:
            self.call("GET", "/users/org", token=self.access)

    @task(15)
    def renew(self) -> None:
        # People move about: one address could not refresh that often without think time.
        self.address = f"10.{random.randint(0, 127)}.{random.randint(0, 255)}.{random.randint(0, 255)}"
        answer = self.call("POST", "/auth/refresh", body={"refresh_token": self.newest()})
        if answer:
            self.access, self.refresh = answer["access_token"], answer["refresh_token"]

    @task(5)
    def leave(self) -> None:
        self.call("POST", "/auth/logout", token=self.access, body={"refresh_token": self.newest()})
        self.enter()

    def newest(self) -> str:
        """The refresh token, signed once it is needed."""
        self.refresh = self.refresh or SIGNER.refresh(self.person, self.session)
        return self.refresh


class Arrival(Client):
    """Logs in, again and again, as somebody else each time."""

    fixed_count = LOGIN_CONNECTIONS
    wait_time = constant(0)

    @task
    def log_in(self) -> None:
        person: Person = random.choice(ADMINS)
        self.address = person.address
        self.call("POST", "/auth/login", body={"email": person.email, "password": PASSWORD})


class Judge(Client):
    """Ask from one address faster than it may, and hold each decision against an exact window."""

    fixed_count = 20
    wait_time = constant(3)

    @task
    def ask(self) -> None:
        sent_at = window.clock()
        with self.client.get(
            PLANS,
            headers={"Host": HOST, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"},
            catch_response=True,
        ) as response:
            if response.status_code in (HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS):
                response.success()
                window.judge(sent_at, is_admitted=response.status_code == HTTPStatus.OK)


@events.quitting.add_listener
def write_result(environment: Any, **kwargs: Any) -> None:
    stats = environment.stats
    summary = {
        "entries": {entry.name: _figures(entry) for entry in stats.entries.values()},
        "errors": [f"{error.occurrences} × {error.to_name()}"[:300] for error in stats.errors.values()],
        "wrong_decisions": window.wrong,
        "decisions": window.judged,
    }
    Path(SETTINGS["result"]).write_text(json.dumps(summary))


def _figures(entry: Any) -> dict[str, Any]:
    return {
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "a_second": entry.total_rps,
        # Milliseconds by how many requests took them.
        "times": {int(time): count for time, count in entry.response_times.items()},
    }
