"""What is measured in turn, and which figure is held against which."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.environment import WORKERS
from bench.load import CONNECTIONS
from bench.messages import Messages, write

# As many as are hashed at a time, so that none waits long; other loads take 32 connections.
LOGIN_CONNECTIONS = WORKERS * (os.cpu_count() or 1)
# More than a worker pair answers on any machine of today; what a run does not send is thrown away.
ONCE_A_SECOND = 1500


@dataclass(frozen=True, slots=True)
class Scenario:
    """One route of one side. `reference` is the scenario of the same group that it is held against."""

    name: str
    side: str
    make: Callable[[Messages, float], Iterable[bytes]]
    references: tuple[str, ...] = ()
    once: bool = False
    connections: int = CONNECTIONS

    def prepare(self, messages: Messages, directory: Path, seconds: float) -> Path:
        """The file of its requests: made anew for each run where none may be sent twice."""
        file = directory / f"{self.name}.requests".replace("/", "-").replace(" ", "-")
        if self.once or not file.exists():
            write(file, self.make(messages, seconds))
        return file


@dataclass(frozen=True, slots=True)
class Group:
    """Measured in turn, A B C A B C."""

    name: str
    seconds: dict[str, int]
    scenarios: tuple[Scenario, ...]
    # Between two runs, for what the one before left behind.
    pause: float = 0
    warm_up: int = 1


def _me(messages: Messages, seconds: float) -> Iterable[bytes]:
    return messages.read_me()


READS = Group(
    "reads",
    {"quick": 2, "full": 6},
    (
        Scenario("limit", "limit", _me),
        Scenario("GET /users/me", "us", _me, ("limit", "naive", "fastapi")),
        Scenario("GET /users/me, cached", "us-cached", _me, ("limit", "naive", "fastapi")),
        Scenario("naive", "naive", _me, ("limit",)),
        Scenario("fastapi", "fastapi", _me, ("limit",)),
    ),
)
ROUTES = Group(
    "routes",
    {"quick": 1, "full": 6},
    (
        Scenario("limit", "limit", _me),
        Scenario("GET /users/org", "us-cached", lambda messages, _: messages.read_members(), ("limit",)),
        Scenario("PATCH /users/me", "us-cached", lambda messages, _: messages.change_me(), ("limit",)),
        Scenario("POST /auth/validate", "us-cached", lambda messages, _: messages.validate(), ("limit",)),
        Scenario(
            "POST /auth/refresh",
            "us-cached",
            lambda messages, seconds: messages.refresh(int(ONCE_A_SECOND * seconds)),
            ("limit",),
            once=True,
        ),
        Scenario(
            "POST /webhooks/stripe",
            "us-cached",
            lambda messages, seconds: messages.stripe_events(int(ONCE_A_SECOND * seconds)),
            ("limit",),
            once=True,
        ),
    ),
)
HASHING = "bcrypt alone"
LOGINS = Group(
    "log-ins",
    {"quick": 3, "full": 10},
    (
        Scenario(HASHING, "", lambda messages, _: ()),
        Scenario(
            "POST /auth/login",
            "us-cached",
            lambda messages, _: messages.log_in(),
            (HASHING,),
            connections=LOGIN_CONNECTIONS,
        ),
    ),
    pause=0.5,
    warm_up=2,
)
GROUPS = (READS, ROUTES, LOGINS)
ROUNDS = {"quick": 5, "full": 9}


def spare_sessions(mode: str) -> int:
    """How many refresh tokens a whole benchmark may take, its warm-up included."""
    return ONCE_A_SECOND * (ROUTES.seconds[mode] * ROUNDS[mode] + 1)
