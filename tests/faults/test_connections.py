"""nginx and gunicorn, both real, with many, slow or oversized clients: everybody else is served meanwhile."""

import itertools
import json
import shutil
import sys
import time
from contextlib import suppress

import pytest

from tests.conftest import make_owner
from tests.deploy.proxying import UNHURRIED, proxying
from tests.faults.clients import Clients
from tests.faults.many import GREETING, Crowd, address, as_many_as_allowed
from tests.project.launching import eventually
from tests.project.serving import HOST, running

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux alone"),
]

CONNECTIONS = 10_000
AT_LEAST = 2_000
READERS = 20
READS = 200
# Who has to come back is told so.
REFUSALS = {429, 503}


@pytest.fixture(scope="module")
def web(own_database, tmp_path_factory):
    environment = {
        "WEB_WORKERS": "2",
        "TRUSTED_PROXY_COUNT": "1",
        "ALLOWED_HOSTS": HOST,
        "BCRYPT_ROUNDS": "12",
    }
    with running(tmp_path_factory.mktemp("web") / "log", **environment) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(web, tmp_path_factory):
    with proxying(tmp_path_factory.mktemp("nginx"), web.port, replaced=UNHURRIED) as proxy:
        yield proxy


@pytest.fixture
def port(proxy):
    return proxy.ports["http"]


@pytest.fixture
def people():
    return [make_owner(f"ada{number}@example.com", f"Engine {number}", "Ada") for number in range(READERS)]


@pytest.fixture
def readers(port, people):
    """Others, who read and write meanwhile; a test ends with `served`."""
    addresses = [address(number, network=1) for number in range(READERS)]
    with Clients(port, people, host=HOST, addresses=addresses, pause=0.1) as clients:
        yield clients


def served(clients, count=READS):
    """That many more were answered, and nobody was ever refused or cut off."""
    asked = clients.asked
    assert eventually(lambda: clients.asked >= asked + count, seconds=120)
    clients.stop()
    assert clients.failures == []
    assert clients.answers.keys() == {200}


def read(person):
    return f"GET /users/me HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {person.access_token}\r\n\r\n".encode()


class TestManyConnections:
    def test_those_that_idle_take_nothing_from_others_and_may_go_on(self, port, readers):
        count = as_many_as_allowed(CONNECTIONS)
        assert count >= AT_LEAST
        with Crowd(port, count, network=2, an_address=100) as crowd:
            assert crowd.ask([GREETING] * count) == {404: count}
            served(readers)
            assert crowd.gone() == 0
            assert crowd.ask([GREETING] * count) == {404: count}

    def test_all_that_ask_at_once_are_answered(self, port, people):
        count = as_many_as_allowed(CONNECTIONS)
        with Crowd(port, count, network=3, an_address=100) as crowd:
            assert crowd.ask([GREETING] * count) == {404: count}
            answers = crowd.ask([read(people[number % READERS]) for number in range(count)])
        assert answers.keys() <= {200, *REFUSALS}
        # As many as wait at gunicorn's sockets; whoever finds no place there is told so.
        assert answers[200] > 1_000


class TestSlowClients:
    COUNT = 500

    def test_a_header_of_a_byte_a_second_is_cut_off(self, port, readers):
        with Crowd(port, self.COUNT, network=4) as crowd:
            crowd.send(f"GET /users/me HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ".encode())
            trickle(crowd, seconds=13)
            served(readers)
            assert eventually(lambda: crowd.gone() == self.COUNT)

    def test_bodies_that_trickle_wait_at_nginx_until_they_are_whole(self, port, readers):
        body, pauses = b'{"email": "nobody"}', 13
        head = f"POST /auth/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        with Crowd(port, self.COUNT, network=5) as crowd:
            crowd.send(f"{head}Content-Length: {len(body) + pauses}\r\n\r\n".encode())
            trickle(crowd, seconds=pauses)
            served(readers)
            assert crowd.gone() == 0
            assert crowd.ask([body] * self.COUNT) == {422: self.COUNT}

    def test_answers_that_are_read_slowly_are_whole_in_the_end(self, port, readers):
        with Crowd(port, 200, network=6, buffer=2048) as crowd:
            crowd.send(f"GET /openapi.yaml HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            served(readers)
            assert crowd.answers() == {200: 200}


def trickle(crowd, seconds):
    for _ in range(seconds):
        time.sleep(1)
        for line in crowd.lines:
            # Once nginx has closed it.
            with suppress(OSError):
                line.sendall(b" ")


class TestHugeHeaders:
    COUNT = 50

    @pytest.mark.parametrize(
        ("headers", "statuses"),
        [
            (f"X-Long: {'x' * 9_000}\r\n", {400}),
            (f"X-Longest: {'x' * 1_000_000}\r\n", {400}),
            (f"X-Long: {'x' * 7_000}\r\n" * 6, {400}),
            ("X-Many: x\r\n" * 200, {431}),
        ],
        ids=["one", "endless", "large-together", "many"],
    )
    def test_they_are_refused_with_an_answer(self, port, readers, headers, statuses):
        message = f"GET /users/me HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n".encode()
        with Crowd(port, self.COUNT, network=7) as crowd:
            assert crowd.ask([message] * self.COUNT).keys() == statuses
        served(readers, 100)


class TestLogInStorm:
    def test_reads_are_answered_and_log_ins_too_many_are_refused(self, port, readers):
        began = readers.asked
        log_ins = (log_in(f"nobody{number}@example.com") for number in itertools.count())
        with Crowd(port, 300, network=8) as crowd:
            found = crowd.keep_asking(log_ins, until=lambda: readers.asked >= began + READS // 2)
        served(readers, 1)
        # Hashed, too many at once, and too many from one address.
        assert {401, 503} <= found.keys() <= {401, *REFUSALS}


def log_in(email):
    body = json.dumps({"email": email, "password": "a long enough guess"})
    head = f"Host: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST /auth/login HTTP/1.1\r\n{head}\r\n{body}".encode()
