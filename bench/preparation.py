"""Keys, roles, tables and people; then the sides, started and stopped."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.data import fill
from bench.environment import directory
from bench.messages import Messages
from bench.people import Person, sample
from bench.sides import Side
from bench.tokens import Signer

USERS = 1000
COMMANDS = (
    ("jwt_keys", "generate", "--if-missing"),
    ("bootstrap_database",),
    ("migrate", "--no-input", "--verbosity=0"),
    # Without those whose compression takes long: nothing here asks for them.
    (
        *("collectstatic", "--no-input", "--verbosity=0"),
        *("--ignore=drf_spectacular_sidecar", "--ignore=rest_framework"),
    ),
)


def prepare(
    *,
    sessions: int,
    users: int = USERS,
    size: int = USERS,
    urls: Mapping[str, str] | None = None,
    show: bool = False,
) -> tuple[list[Person], list[Person]]:
    """Make the platform's database, at `urls` if given, and fill it. Returns `size` people and the crowd's admins."""
    environment = {**os.environ, **(urls or {})}
    for command in COMMANDS:
        subprocess.run(
            [sys.executable, "manage.py", *command],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    people, admins = sample(users, size=size, sessions=sessions)
    fill(environment["OWNER_DATABASE_URL"], users=users, sampled=[*people, *admins], show=show)
    return people, admins


def messages_of(people: list[Person], admins: list[Person]) -> Messages:
    signer = Signer(keys=Path(os.environ["JWT_KEYS_DIR"]), issuer=os.environ["PUBLIC_URL"])
    return Messages(people, admins, signer=signer, webhook_secret=os.environ["STRIPE_WEBHOOK_SECRET"])


@contextmanager
def running(sides: list[Side], *, first_redis_database: int = 1) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        for number, side in enumerate(sides, start=first_redis_database):
            stack.callback(side.stop)
            side.start(directory(), redis_database=number)
        yield {side.name: side for side in sides}
