"""The clocks of web and worker are wrong, or step by an hour: clock.c moves them, PostgreSQL's and Redis's stay."""

import json
import shutil
import struct
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from saas.kit.rate_limits import ANONYMOUS, LOGIN_FAILURES
from tests.conftest import PASSWORD, make_owner
from tests.faults.conftest import Answer
from tests.faults.workers import PATIENCE, Worker, mails_through, times_taken, unfinished, welcome_of
from tests.project.launching import eventually
from tests.project.serving import running
from tests.sendgrid import SendGrid

HOUR = 3600
SOURCE = Path(__file__).with_name("clock.c")
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler is installed"),
]


class Clock:
    """What a process that is started with `variables` takes for the time, in seconds from the real one."""

    def __init__(self, library, file):
        self.file = file
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}
        self.step(0)

    def step(self, seconds):
        with self.file.open("r+b" if self.file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


@pytest.fixture(scope="module")
def _clock(library, tmp_path_factory):
    return Clock(library, tmp_path_factory.mktemp("clock") / "clock")


@pytest.fixture
def clock(_clock):
    _clock.step(0)
    yield _clock
    _clock.step(0)


class Web:
    def __init__(self, server):
        self.server = server

    def ask(self, method, path, body=None, token=None, address="198.18.9.1"):
        headers = {"X-Forwarded-For": address, "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with closing(self.server.connect()) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return Answer(connection.getresponse())

    def me(self, token):
        return self.ask("GET", "/users/me", token=token).status

    def log_in(self, password=PASSWORD):
        return self.ask("POST", "/auth/login", {"email": "alice@acme.example", "password": password})

    def refresh(self, pair):
        return self.ask("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]})


@pytest.fixture(scope="module")
def web(own_database, _clock, tmp_path_factory):
    log = tmp_path_factory.mktemp("web") / "log"
    with running(log, WEB_WORKERS="1", TRUSTED_PROXY_COUNT="1", **_clock.variables) as server:
        yield Web(server)


class TestWeb:
    def test_ten_seconds_are_forgiven_and_no_more(self, web, clock, alice):
        unseen = [
            make_owner(f"ada{number}@example.com", f"Engine {number}").access_token for number in range(3)
        ]
        for seconds in (9, -5):
            clock.step(seconds)
            assert web.me(unseen.pop()) == 200
        clock.step(-60)
        assert web.me(unseen.pop()) == 401
        # A token that was verified before is over when it is over.
        clock.step(0)
        assert web.me(alice.access_token) == 200
        clock.step(15 * 60 + 60)
        assert web.me(alice.access_token) == 401

    @pytest.mark.parametrize("seconds", [HOUR, -HOUR])
    def test_sessions_survive_a_step_and_the_step_back(self, web, clock, alice, seconds):
        pair = web.log_in().body
        clock.step(seconds)
        if seconds > 0:
            assert web.me(pair["access_token"]) == 401
            refreshed = web.refresh(pair)
            assert refreshed.status == 200, refreshed
            pair = refreshed.body
        again = web.log_in()
        assert again.status == 200, again
        assert web.me(again.body["access_token"]) == 200
        assert web.ask("GET", "/auth/sessions", token=again.body["access_token"]).status == 200
        registration = {"email": "new@example.com", "password": PASSWORD, "org": "New", "name": "New"}
        assert web.ask("POST", "/auth/register", registration).status == 201
        clock.step(0)
        for each in (pair, again.body):
            if seconds > 0:
                # Not yet valid; with its next log-in a person goes on, or once the hour is over.
                assert web.refresh(each).status == 401
            else:
                assert web.refresh(each).status == 200
        assert web.log_in().status == 200

    def test_no_limit_lasts_longer(self, web, clock, alice):
        while (denied := web.ask("GET", "/auth/validate", address="198.18.9.2")).status != 429:
            pass
        for _ in range(LOGIN_FAILURES.amount):
            web.log_in("a-wrong-secret")
        for seconds in (HOUR, -HOUR, 0):
            clock.step(seconds)
            denied = web.ask("GET", "/auth/validate", address="198.18.9.2")
            if denied.status == 429:
                assert 0 < int(denied.headers["Retry-After"]) <= ANONYMOUS.per
            blocked = web.log_in("a-wrong-secret")
            if blocked.status == 429:
                assert 0 < int(blocked.headers["Retry-After"]) <= 60
        assert eventually(lambda: web.log_in().status == 200, seconds=120, every=1)
        allowed = ("GET", "/auth/validate", None, None, "198.18.9.2")
        assert eventually(lambda: web.ask(*allowed).status != 429, seconds=120, every=1)


class TestWorker:
    @pytest.fixture
    def sendgrid(self):
        with SendGrid() as fake:
            yield fake

    @pytest.mark.parametrize("seconds", [HOUR, -HOUR])
    def test_a_step_neither_uses_up_the_tries_nor_delays_them(
        self, clock, alice, owner_connection, sendgrid, tmp_path, seconds
    ):
        sendgrid.status = 503
        waits = (
            "SELECT attempts, extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs "
            "WHERE task_name = 'send_mail' AND status = 'todo' AND attempts > %s"
        )
        with Worker(
            owner_connection, tmp_path / "log", **clock.variables, **mails_through(sendgrid)
        ) as worker:
            assert eventually(lambda: owner_connection.execute(waits, [0]).fetchone(), seconds=PATIENCE)
            clock.step(seconds)
            owner_connection.execute(
                "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"
            )
            (before,) = owner_connection.execute("SELECT max(attempts) FROM procrastinate_jobs").fetchone()
            assert eventually(
                lambda: owner_connection.execute(waits, [max(before, 2)]).fetchone(), seconds=PATIENCE
            )
            attempts, wait = owner_connection.execute(waits, [0]).fetchone()
            assert attempts <= max(before, 2) + 2
            assert -5 < wait <= 300
            sendgrid.status = 202
            clock.step(0)
            owner_connection.execute(
                "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"
            )
            assert eventually(lambda: not unfinished(owner_connection), seconds=PATIENCE)
            assert worker.process.poll() is None
        assert times_taken(sendgrid) == {welcome_of(alice).message_id: 1}
