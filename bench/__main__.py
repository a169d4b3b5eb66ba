"""`make bench`: every side on servers of its own, measured in turn; a table, bench/results.json, bench/report.html."""

import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import answers, connections, crowds, pages, report, scenarios
from bench.environment import directory, enter_production, with_database
from bench.front import BEHIND_A_BALANCER, standing_before
from bench.load import HERE, WrongAnswers
from bench.measuring import Bench, Results
from bench.messages import Messages
from bench.naive import database as naive_database
from bench.preparation import USERS, messages_of, prepare, running
from bench.sides import Side, all_sides, database_pid, platform, redis_pid
from bench.tokens import Signer
from saas.launcher.errors import LauncherError

MODES = ("quick", "full", "million", "pages", "connections", "workers", *crowds.CROWDS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("mode", choices=MODES, nargs="?", default="quick")
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
        elif options.mode == "connections":
            keep_connections()
        elif options.mode == "workers":
            compare_workers()
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


def compare_workers() -> None:
    """One worker beside four."""
    facts = {"mode": "workers", **report.machine()}
    messages = messages_of(*prepare(sessions=1))
    both = [platform(f"us-{count}", f"workers: {count}", WEB_WORKERS=str(count)) for count in (1, 4)]
    with running(both) as sides:
        results = measure("workers", sides, dict.fromkeys(sides, messages))
    show(results, facts)


def keep_connections() -> None:
    people, _ = prepare(sessions=1)
    signer = Signer(keys=Path(os.environ["JWT_KEYS_DIR"]), issuer=os.environ["PUBLIC_URL"])
    with (
        running([platform("us", "the platform as it is")]) as sides,
        standing_before(sides["us"].port) as front,
    ):
        found = connections.run(front, people, signer)
    (HERE / "results.json").write_text(
        json.dumps({**report.machine(), "connections": found}, indent=2) + "\n"
    )


def crowd(name: str) -> None:
    size = crowds.CROWDS[name]
    prepare(sessions=size.sessions, users=size.people, size=size.people)
    with ExitStack() as stack:
        side = stack.enter_context(running([platform("us", "the platform as it is")]))["us"]
        address = f"http://127.0.0.1:{side.port}"
        if size.is_behind_nginx:
            front = stack.enter_context(standing_before(side.port, more=BEHIND_A_BALANCER))
            address = f"https://127.0.0.1:{front.port}"
        found = crowds.run(side, size, address)
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
