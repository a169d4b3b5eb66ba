"""`make bench`: every side on servers of its own, measured in turn; a table, bench/results.json, bench/report.html."""

import argparse
import json
import os
import signal
import subprocess
import sys
from typing import Any

from bench import answers, crowds, pages, report, scenarios
from bench.environment import directory, enter_production, with_database
from bench.load import HERE, WrongAnswers
from bench.measuring import Bench, Results
from bench.messages import Messages
from bench.naive import database as naive_database
from bench.preparation import USERS, messages_of, prepare, running
from bench.sides import Side, all_sides, database_pid, platform, redis_pid
from saas.launcher.errors import LauncherError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "mode", choices=("quick", "full", "million", "pages", *crowds.CROWDS), nargs="?", default="quick"
    )
    options = parser.parse_args()
    # A plain exit, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    enter_production()
    try:
        if options.mode in crowds.CROWDS:
            crowd(options.mode)
        elif options.mode == "million":
            compare_sizes()
        elif options.mode == "pages":
            visit_pages()
        else:
            compare(options.mode)
    except (LauncherError, WrongAnswers) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def compare(mode: str) -> None:
    facts = {"mode": mode, **report.machine()}
    people, admins = prepare(sessions=1 + -(-scenarios.spare_sessions(mode) // USERS))
    messages = messages_of(people, admins)
    naive_url = naive_database.create(os.environ["BOOTSTRAP_DATABASE_URL"], [*people, *admins])
    with running(all_sides(naive_url)) as sides:
        answers.refuse_differences(sides.values(), next(messages.read_me()))
        results = measure(mode, sides, dict.fromkeys(sides, messages))
        facts["workers"] = {
            name: {
                "megabytes": round(side.worker_megabytes(), 1),
                "seconds_to_first_answer": round(side.seconds_to_first_answer, 2),
            }
            for name, side in sides.items()
        }
    show(results, facts)


def compare_sizes() -> None:
    """The platform with 1,000 users beside the platform with 1,000,000."""
    facts = {"mode": "million", **report.machine()}
    messages = {"us": messages_of(*prepare(sessions=1))}
    large = with_database(os.environ, "saas_million")
    messages["us-million"] = messages_of(*prepare(sessions=1, users=1_000_000, urls=large, show=True))
    url = {"DATABASE_URL": large["DATABASE_URL"]}
    both = [
        platform("us", "1,000 users", SESSION_FACTS_SECONDS="0"),
        platform("us-million", "1,000,000 users", SESSION_FACTS_SECONDS="0", **url),
    ]
    with running(both) as sides:
        results = measure("million", sides, messages)
    show(results, facts)
    subprocess.run([sys.executable, "-m", "bench.plans"], env={**os.environ, **large}, check=True)


def crowd(name: str) -> None:
    prepare(sessions=crowds.SESSIONS)
    with running([platform("us", "the platform as it is")]) as sides:
        found = crowds.run(sides["us"], name)
    (HERE / "results.json").write_text(json.dumps({**report.machine(), "crowd": found}, indent=2) + "\n")


def visit_pages() -> None:
    _, admins = prepare(sessions=1)
    url = {"SUPPORT_DATABASE_URL": os.environ["SUPPORT_DATABASE_URL"]}
    with running([platform("us", "the platform as it is", **url)]) as sides:
        found = pages.run(sides["us"], admins)
    (HERE / "results.json").write_text(json.dumps({**report.machine(), "pages": found}, indent=2) + "\n")


def measure(mode: str, sides: dict[str, Side], messages: dict[str, Messages]) -> Results:
    shared = {
        "postgresql": database_pid(os.environ["BOOTSTRAP_DATABASE_URL"]),
        "redis": redis_pid(os.environ["REDIS_URL"]),
    }
    bench = Bench(sides, messages, shared, directory())
    return {
        group.name: bench.measure(group, rounds=scenarios.ROUNDS[mode], seconds=group.seconds[mode])
        for group in scenarios.groups(mode)
    }


def show(results: Results, facts: dict[str, Any]) -> None:
    for line in report.table(results):
        print(line)
    for name, worker in facts.get("workers", {}).items():
        print(
            f"{name:12}{worker['megabytes']:8.1f} MB a worker, {worker['seconds_to_first_answer']:.2f} s to first answer"
        )
    for file in report.write(results, facts):
        print(f"Written: {file.relative_to(HERE.parent)}")


if __name__ == "__main__":
    sys.exit(main())
