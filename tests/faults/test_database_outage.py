"""Without PostgreSQL nothing is taken for valid: 503 with Retry-After, and all is well when it is back."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from tests.conftest import PASSWORD
from tests.faults.conftest import CONNECTIONS
from tests.project.launching import eventually


@pytest.fixture(params=["redis up", "redis stopped"])
def redis_state(request, stack, alice):
    # A worker that took Redis for down, in a test before, finds out first that it is not.
    assert eventually(
        lambda: {stack.ask("GET", "/health").body["status"] for _ in range(CONNECTIONS)} == {"ok"}
    )
    assert stack.all_workers(alice) == {200}
    if request.param == "redis stopped":
        stack.stop_redis()
    return request.param


def assert_unavailable(answer):
    assert (answer.status, answer.body["code"]) == (503, "unavailable"), answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


def sessions(stack, person):
    """Always read from PostgreSQL."""
    return stack.ask("GET", "/auth/sessions", token=person.access_token)


def every_way_in(stack, person):
    login = {"email": person.user.email, "password": PASSWORD}
    registration = {"email": "new@example.com", "password": PASSWORD, "org": "New"}
    return [
        sessions(stack, person),
        stack.ask("POST", "/auth/login", login),
        stack.ask("POST", "/auth/register", registration),
        stack.ask("POST", "/auth/refresh", {"refresh_token": person.refresh_token}),
        stack.ask("POST", "/auth/logout", {}, token=person.access_token),
    ]


def test_a_profile_is_read_for_as_long_as_redis_vouches_for_it(stack, alice):
    """The first of all: a worker that saw Redis fail believes nothing that it says for a minute."""
    assert stack.all_workers(alice) == {200}
    stack.proxy.cut()
    assert stack.all_workers(alice) == {200}


@pytest.mark.usefixtures("redis_state")
class TestCut:
    def test_every_way_in_is_unavailable_and_recovers(self, stack, alice):
        stack.proxy.cut()
        for answer in every_way_in(stack, alice):
            assert_unavailable(answer)
        health = stack.ask("GET", "/health")
        assert (health.status, health.body["status"]) == (503, "down")
        assert stack.ask("GET", "/health/live").status == 200
        stack.proxy.mend()
        assert sessions(stack, alice).status == 200
        assert stack.all_workers(alice) == {200}
        assert eventually(lambda: stack.ask("GET", "/health").status == 200)

    def test_a_profile_is_read_by_nobody_without_both(self, stack, alice, redis_state):
        stack.proxy.cut()
        if redis_state == "redis up":
            with stack.redis() as redis:
                redis.flushall()
        assert_unavailable(stack.me(alice))

    def test_a_log_out_that_failed_has_ended_nothing(self, stack, alice):
        stack.proxy.cut()
        assert stack.log_out(alice) == 503
        stack.proxy.mend()
        assert sessions(stack, alice).status == 200
        assert stack.all_workers(alice) == {200}
        assert stack.log_out(alice) == 200
        assert stack.all_workers(alice) == {401}


@pytest.mark.usefixtures("redis_state")
class TestSilent:
    def test_the_wait_is_bounded_and_it_recovers(self, stack, alice):
        """Whoever asks gives up after 30 seconds, so an answer is the proof of a bound."""
        stack.proxy.silence()
        assert_unavailable(sessions(stack, alice))
        assert_unavailable(stack.ask("POST", "/auth/refresh", {"refresh_token": alice.refresh_token}))
        stack.proxy.mend()
        assert sessions(stack, alice).status == 200
        assert stack.all_workers(alice) == {200}


@pytest.mark.soak
class TestFrozen:
    """Connections stay, but nobody answers on them: no packet is missing, so TCP has nothing to notice."""

    def test_the_wait_is_bounded_and_no_answer_is_taken_for_anothers(self, stack, alice, bob):
        people = [alice, bob] * 8
        for person in people:
            assert sessions(stack, person).status == 200
        stack.proxy.freeze()
        with ThreadPoolExecutor(len(people)) as pool:
            # Whoever asks gives up after 30 seconds, so an answer is the proof of a bound.
            for answer in pool.map(lambda person: sessions(stack, person), people):
                assert_unavailable(answer)
        assert stack.ask("GET", "/health").status == 503
        assert stack.ask("GET", "/health/live").status == 200
        stack.proxy.mend()
        for person in people:
            assert eventually(lambda person=person: sessions(stack, person).status == 200)
            (session,) = sessions(stack, person).body["data"]
            assert session["id"] == person.session_id


class TestExhausted:
    @pytest.fixture
    def full(self, owner_connection, superuser_url):
        """The database takes no further connection of anybody but a superuser."""
        name = sql.Identifier(owner_connection.info.dbname)
        limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute(limit.format(name, 0))
            yield lambda: superuser.execute(limit.format(name, -1))
            superuser.execute(limit.format(name, -1))

    def test_what_gets_no_connection_is_unavailable_and_recovers(self, stack, alice, full):
        stack.proxy.cut()
        stack.proxy.mend()
        assert_unavailable(sessions(stack, alice))
        assert_unavailable(stack.ask("POST", "/auth/refresh", {"refresh_token": alice.refresh_token}))
        assert stack.ask("GET", "/health").status == 503
        full()
        assert eventually(lambda: sessions(stack, alice).status == 200)
        assert stack.all_workers(alice) == {200}
