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
    # Sent to the same side meanwhile, unmeasured.
    beside: "Scenario | None" = None

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
    # Which figure of a load is compared.
    figure: str = "a_second"


def _me(messages: Messages, seconds: float) -> Iterable[bytes]:
    return messages.read_me()


def _members(messages: Messages, seconds: float) -> Iterable[bytes]:
    return messages.read_members()


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
        Scenario("GET /users/org", "us-cached", _members, ("limit",)),
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
    # What is being hashed when a run ends counts for bcrypt alone: two of 17 log-ins in 2 s.
    {"quick": 6, "full": 10},
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
STORM = Group(
    "reads in a storm of log-ins, by their p95",
    {"full": 6},
    (
        Scenario("in calm", "us-cached", _me),
        Scenario(
            "in the storm",
            "us-cached",
            _me,
            ("in calm",),
            beside=Scenario("log-ins", "us-cached", lambda messages, _: messages.log_in(), connections=16),
        ),
    ),
    # So long may the storm's last log-ins still be hashed.
    pause=2,
    # The storm may hold the first reads up for seconds.
    warm_up=5,
    figure="p95",
)
SIZES = Group(
    "1,000,000 users beside 1,000",
    {"million": 3},
    (
        Scenario("GET /users/me, 1,000", "us", _me),
        Scenario("GET /users/me, 1,000,000", "us-million", _me, ("GET /users/me, 1,000",)),
        Scenario("GET /users/org, 1,000", "us", _members),
        Scenario("GET /users/org, 1,000,000", "us-million", _members, ("GET /users/org, 1,000",)),
    ),
)
PROCESSES = Group(
    "4 workers beside 1",
    {"workers": 6},
    (
        Scenario("GET /users/me, 1", "us-1", _me),
        Scenario("GET /users/me, 4", "us-4", _me, ("GET /users/me, 1",)),
    ),
)
ALL = (READS, ROUTES, LOGINS, STORM, SIZES, PROCESSES)
ROUNDS = {"quick": 5, "full": 9, "million": 9, "workers": 9}


def groups(mode: str) -> list[Group]:
    return [group for group in ALL if mode in group.seconds]


def spare_sessions(mode: str) -> int:
    """How many refresh tokens a whole benchmark may take, its warm-up included."""
    return ONCE_A_SECOND * (ROUTES.seconds[mode] * ROUNDS[mode] + 1)
