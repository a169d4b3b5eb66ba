"""The benchmark's pieces, without its figures; what needs a package of requirements-bench.txt is left out."""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.hashers import check_password

from accounts.tokens import verify_access_token, verify_refresh_token
from bench import accounting, answers, client, connections, load, report, scenarios
from bench.crowds import percentile
from bench.data import fill, password_hash
from bench.environment import PRODUCTION, directory
from bench.front import standing_before
from bench.measuring import Run, Series, held_against
from bench.messages import message, write
from bench.naive import database as naive_database
from bench.people import CROWD, CROWD_ADMINS, PASSWORD, everybody, sample
from bench.preparation import COMMANDS, messages_of, running
from bench.sides import all_sides, platform
from bench.tokens import Signer
from bench.window import Window
from tests.conftest import manage
from tests.project.launching import eventually

USERS = 20
COUNTS = "SELECT (SELECT count(*) FROM accounts_user), (SELECT count(*) FROM accounts_session)"
# Beyond those of the processes that run tests.
REDIS_DATABASES = 11
BURN = "import time\nwhile time.process_time() < 0.3: pass"


class TestAccounting:
    def test_ratios_are_taken_round_by_round(self):
        # The machine slowed down after the first round; the ratio did not change.
        assert accounting.ratios([100, 50, 55], [200, 100, 100]) == accounting.Spread(0.5, 0.5, 0.55)

    def test_a_missing_round_is_no_ratio(self):
        with pytest.raises(ValueError, match="shorter"):
            accounting.ratios([1, 2], [1])

    def test_a_spread_reads_as_median_and_limits(self):
        assert f"{accounting.spread([3, 1, 2]):.1f}" == "2.0 (1.0–3.0)"

    def test_cpu_time_counts_children_that_have_ended(self):
        meter = accounting.Meter({"ours": os.getpid()})
        subprocess.run([sys.executable, "-c", BURN], check=True)
        assert meter.spent()["ours"] >= 0.25

    def test_cpu_time_counts_children_that_run(self):
        with subprocess.Popen(
            [sys.executable, "-c", f"{BURN}\nprint(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            process.stdout.readline()
            assert process.pid in accounting.family(os.getpid())
            assert accounting.cpu_seconds(process.pid) >= 0.25
            assert accounting.parent_of(process.pid) == os.getpid()
            process.communicate(b"\n")

    def test_microseconds_are_a_request(self):
        assert accounting.microseconds_a_request({"server": 0.5}, 1000) == {"server": 500}
        assert accounting.medians([{"a": 1}, {"a": 9}, {"a": 2}]) == {"a": 2}


class TestReport:
    @pytest.fixture
    def results(self):
        def series(scenario, *rates):
            runs = [
                Run(load.Load(int(rate), 1.0, 1, 2, 3, 0.1), {"server": 1e6 / rate, "client": 9.0})
                for rate in rates
            ]
            return Series(scenario, runs=runs)

        limit, me = scenarios.READS.scenarios[:2]
        references = {name: series(limit, 1000, 2000) for name in me.references}
        return {"reads": {me.name: series(me, 750, 1500), **references}}

    def test_each_reference_has_its_ratio(self, results):
        ratios = held_against(results["reads"])
        assert ratios["GET /users/me", "limit"] == accounting.Spread(0.75, 0.75, 0.75)

    def test_the_table_and_the_json_say_the_same(self, results):
        assert "  GET /users/me / limit: 0.75 (0.75–0.75)" in list(report.table(results))
        found = report.as_json(results, {"mode": "quick"})["groups"]["reads"]
        assert {
            "of": "GET /users/me",
            "to": "limit",
            "median": 0.75,
            "lowest": 0.75,
            "highest": 0.75,
        } in found["ratios"]
        # What the client took for itself is told apart.
        assert found["scenarios"]["GET /users/me"]["cpu_microseconds_without_client"]["highest"] < 1334

    def test_the_picture_needs_nothing_from_elsewhere(self, results):
        page = report.page(results, {"mode": "<quick>"})
        assert "&lt;quick&gt;" in page
        assert page.count("<svg") == 2
        assert "http" not in page
        assert "src=" not in page


class TestWindow:
    """The oracle of rate limits; each decision takes a tenth of a second."""

    @pytest.fixture
    def ask(self):
        now = [100.0]
        window = Window(amount=2, seconds=60, clock=lambda: now[0])

        def ask(moment, *, is_admitted):
            now[0] = moment + 0.1
            window.judge(moment, is_admitted=is_admitted)
            return window.wrong

        return ask

    def test_right_decisions_are_right(self, ask):
        ask(100, is_admitted=True)
        ask(101, is_admitted=True)
        ask(159, is_admitted=False)
        assert ask(160.2, is_admitted=True) == 0

    def test_one_too_many_is_wrong(self, ask):
        ask(100, is_admitted=True)
        ask(101, is_admitted=True)
        assert ask(102, is_admitted=True) == 1

    def test_one_refused_with_room_is_wrong(self, ask):
        ask(100, is_admitted=True)
        assert ask(101, is_admitted=False) == 1

    def test_what_fell_on_the_edge_is_not_held_against_anybody(self, ask):
        ask(100, is_admitted=True)
        ask(101, is_admitted=True)
        assert ask(160.05, is_admitted=True) == 0


def test_a_percentile_is_taken_over_counts():
    times = Counter({10: 94, 20: 5, 30: 1})
    assert [percentile(times, part) for part in (0.5, 0.95, 1)] == [10, 20, 30]


class TestPeople:
    def test_they_are_the_same_in_every_run(self):
        assert list(everybody(USERS)) == list(everybody(USERS))
        assert sample(USERS, size=5, sessions=2) == sample(USERS, size=5, sessions=2)

    def test_organizations_have_ten_and_one_is_a_crowd(self):
        sizes = [
            len(list(people))
            for _, people in itertools.groupby(everybody(USERS), key=lambda person: person.organization.id)
        ]
        assert sizes == [10, 10, CROWD]
        people, admins = sample(USERS, size=5, sessions=2)
        assert [person.number for person in people] == [0, 4, 8, 12, 16]
        assert len(admins) == CROWD_ADMINS

    def test_their_password_is_the_platforms(self):
        assert check_password(PASSWORD, password_hash(rounds=4))

    def test_their_tokens_are_the_platforms(self, settings):
        signer = Signer(keys=settings.JWT_KEYS_DIR, issuer=settings.JWT_ISSUER)
        (person, *_), _ = sample(USERS, size=1, sessions=1)
        claims = verify_access_token(signer.access(person, person.sessions[0]))
        assert (claims.user_id, claims.org_id) == (person.id, person.organization.id)
        assert verify_refresh_token(signer.refresh(person, person.sessions[0])).generation == 1


@pytest.fixture
def filled(monkeypatch, tmp_path, owner_connection):
    """The people in the database, and the environment of what is measured."""
    for name, value in {**PRODUCTION, "STATIC_ROOT": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    manage(*COMMANDS[-1])
    people, admins = sample(USERS, size=USERS, sessions=3)
    fill(os.environ["OWNER_DATABASE_URL"], users=USERS, sampled=[*people, *admins])
    assert owner_connection.execute(COUNTS).fetchone() == (USERS + CROWD, 3 * USERS + CROWD_ADMINS)
    return people, admins


@pytest.mark.soak
def test_every_side_answers_the_same_and_every_route_is_asked_rightly(filled, superuser_url):
    people, admins = filled
    messages = messages_of(people, admins)
    name = f"bench_naive_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    sides = all_sides(naive_database.create(superuser_url, [*people, *admins], name))
    with running(
        [side for side in sides if side.name != "fastapi"], first_redis_database=REDIS_DATABASES
    ) as started:
        answers.refuse_differences(started.values(), next(messages.read_me()))
        for group in scenarios.groups("full"):
            for scenario in group.scenarios:
                if scenario.side in started:
                    some = list(itertools.islice(scenario.make(messages, 0.002), 3))
                    found = [answers.answer(started[scenario.side].port, each) for each in some]
                    assert [status for status, _ in found] == [200] * 3, (scenario.name, found)
                    if scenario.name == "POST /webhooks/stripe":
                        assert [body for _, body in found] == [{"result": "processed"}] * 3
        a_side_that_refuses_is_no_measurement(started["us"])
        what_sends_where_wrk_is_missing(started["us"], messages)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_connections_are_kept_and_those_that_break_off_are_told(filled):
    people, admins = filled
    reads = list(messages_of(people, admins).read_me())
    with (
        running([platform("us", "")], first_redis_database=REDIS_DATABASES) as sides,
        standing_before(sides["us"].port) as front,
    ):
        found = asyncio.run(connections.measure(front, reads, every=2, seconds=4))
        assert (found["statuses"].keys(), found["success_percent"]) == ({"200"}, 100)
        assert found["reads"] > len(reads)
        assert found["nginx_megabytes"] > 0
        crowd = connections.Crowd(front.port, reads, every=2, seconds=5)
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(lambda: eventually(lambda: crowd.statuses) and front.stop())
            asyncio.run(crowd.run())
            stopped.result()
        assert crowd.statuses.keys() - {"200"}
        assert crowd.success < 100


def a_side_that_refuses_is_no_measurement(side):
    file = write(directory() / "refused.requests", [message("GET", "/users/me", address="192.0.2.1")])
    with pytest.raises(load.WrongAnswers, match="refused"):
        load.send(side.port, file, seconds=1, connections=1)


def what_sends_where_wrk_is_missing(side, messages):
    file = write(directory() / "read.requests", messages.read_me())
    requests = client.read_requests(file)
    assert len(requests) == USERS
    summary = asyncio.run(client.run(side.port, requests, connections=2, seconds=1))
    assert summary["requests"] > 0
    assert (summary["refused"], summary["broken"]) == (0, 0)
