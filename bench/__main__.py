"""`make bench`: every side on servers of its own, measured in turn; a table, bench/results.json, bench/report.html."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import answers, crowds, report, scenarios
from bench.data import fill
from bench.environment import directory, enter_production
from bench.load import HERE, WrongAnswers
from bench.measuring import Bench, Results
from bench.messages import Messages
from bench.naive import database as naive_database
from bench.people import Person, sample
from bench.sides import Side, all_sides, database_pid, platform, redis_pid
from bench.tokens import Signer
from saas.launcher.errors import LauncherError

USERS = 1000
PREPARATION = (
    ("jwt_keys", "generate", "--if-missing"),
    ("bootstrap_database",),
    ("migrate", "--no-input", "--verbosity=0"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("mode", choices=("quick", "full", *crowds.CROWDS), nargs="?", default="quick")
    options = parser.parse_args()
    # A plain exit, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    enter_production()
    try:
        if options.mode in crowds.CROWDS:
            crowd(options.mode)
        else:
            compare(options.mode)
    except (LauncherError, WrongAnswers) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def compare(mode: str) -> None:
    facts = {"mode": mode, **report.machine()}
    people, admins, messages = prepare(sessions=1 + -(-scenarios.spare_sessions(mode) // USERS))
    naive_url = naive_database.create(os.environ["BOOTSTRAP_DATABASE_URL"], [*people, *admins])
    with running(all_sides(naive_url)) as sides:
        answers.refuse_differences(sides.values(), next(messages.read_me()))
        shared = {
            "postgresql": database_pid(os.environ["BOOTSTRAP_DATABASE_URL"]),
            "redis": redis_pid(os.environ["REDIS_URL"]),
        }
        bench = Bench(sides, messages, shared, directory())
        results: Results = {
            group.name: bench.measure(group, rounds=scenarios.ROUNDS[mode], seconds=group.seconds[mode])
            for group in scenarios.GROUPS
        }
        facts["workers"] = {
            name: {
                "megabytes": round(side.worker_megabytes(), 1),
                "seconds_to_first_answer": round(side.seconds_to_first_answer, 2),
            }
            for name, side in sides.items()
        }
    show(results, facts)


def crowd(name: str) -> None:
    prepare(sessions=crowds.SESSIONS)
    with running([platform("us", "the platform as it is")]) as sides:
        found = crowds.run(sides["us"], name)
    (HERE / "results.json").write_text(json.dumps({**report.machine(), "crowd": found}, indent=2) + "\n")


def prepare(*, sessions: int) -> tuple[list[Person], list[Person], Messages]:
    """Keys, roles, tables and people."""
    for command in PREPARATION:
        subprocess.run([sys.executable, "manage.py", *command], check=True, stdout=subprocess.DEVNULL)
    people, admins = sample(USERS, size=USERS, sessions=sessions)
    fill(os.environ["OWNER_DATABASE_URL"], users=USERS, sampled=[*people, *admins])
    return people, admins, messages_of(people, admins)


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


def show(results: Results, facts: dict[str, object]) -> None:
    for line in report.table(results):
        print(line)
    for name, worker in facts["workers"].items():  # type: ignore[attr-defined]
        print(
            f"{name:12}{worker['megabytes']:8.1f} MB a worker, {worker['seconds_to_first_answer']:.2f} s to first answer"
        )
    for file in report.write(results, facts):
        print(f"Written: {file.relative_to(HERE.parent)}")


if __name__ == "__main__":
    sys.exit(main())
