"""A revoked token over real gunicorn with four workers, whatever becomes of Redis."""

import json
import os
import signal
from contextlib import closing

import psycopg
import pytest
from redis import Redis

from saas.launcher.servers import Valkey
from tests.conftest import PASSWORD, manage
from tests.project.launching import eventually
from tests.project.test_gunicorn import running

# Each on a connection of its own, so that every worker gets some.
REQUESTS = 24


@pytest.fixture
def valkey(tmp_path):
    with Valkey(tmp_path / "valkey", durable=False) as valkey:
        yield valkey


@pytest.fixture
def web(valkey, tmp_path):
    with running(tmp_path / "log", WEB_WORKERS="4", REDIS_URL=valkey.url) as server:
        yield server


def call(web, method, path, token=None, body=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with closing(web.connect()) as connection:
        connection.request(method, path, json.dumps(body or {}) if method != "GET" else None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "null")


def log_in(web, person):
    status, answer = call(web, "POST", "/auth/login", body={"email": person.user.email, "password": PASSWORD})
    assert status == 200, answer
    return answer["access_token"]


def statuses(web, token):
    return {call(web, "GET", "/users/me", token)[0] for _ in range(REQUESTS)}


@pytest.fixture
def tokens(web, alice):
    """One that stays valid and one that is going to be revoked; every worker has seen both."""
    kept, revoked = log_in(web, alice), log_in(web, alice)
    assert statuses(web, kept) == statuses(web, revoked) == {200}
    return kept, revoked


def log_out(web, token):
    assert call(web, "POST", "/auth/logout", token)[0] == 200


def answers(valkey):
    with Redis.from_url(valkey.url, socket_timeout=1) as redis:
        return redis.ping()


def facts_of(valkey):
    with Redis.from_url(valkey.url) as redis:
        return [key for key in redis.scan_iter("*:facts:*") if redis.get(key)]


class TestEveryWorker:
    def test_refuses_a_revoked_token_at_once(self, web, tokens):
        kept, revoked = tokens
        log_out(web, revoked)
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    def test_refuses_it_with_redis_stopped(self, web, tokens, valkey):
        kept, revoked = tokens
        log_out(web, revoked)
        valkey.kill()
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    def test_refuses_it_when_redis_was_stopped_before_the_log_out(self, web, tokens, valkey):
        kept, revoked = tokens
        valkey.kill()
        log_out(web, revoked)
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    def test_refuses_it_when_redis_comes_back_empty(self, web, tokens, valkey):
        kept, revoked = tokens
        log_out(web, revoked)
        valkey.kill()
        valkey.start()
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    def test_refuses_it_when_redis_is_flushed(self, web, tokens, valkey):
        kept, revoked = tokens
        log_out(web, revoked)
        with Redis.from_url(valkey.url) as redis:
            redis.flushall()
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    @pytest.mark.parametrize("kind", ["revoked", "facts"])
    def test_refuses_it_when_a_key_is_evicted(self, kind, web, tokens, valkey):
        kept, revoked = tokens
        log_out(web, revoked)
        with Redis.from_url(valkey.url) as redis:
            keys = list(redis.scan_iter(f"*:{kind}:*"))
            assert keys
            redis.delete(*keys)
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}

    def test_refuses_it_with_redis_frozen_across_the_log_out(self, web, tokens, valkey):
        kept, revoked = tokens
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            log_out(web, revoked)
            assert statuses(web, revoked) == {401}
            assert statuses(web, kept) == {200}
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        # It still holds facts from before. Whoever noticed that it failed does not believe them.
        assert eventually(lambda: answers(valkey))
        assert facts_of(valkey)
        assert statuses(web, revoked) == {401}
        assert statuses(web, kept) == {200}
        # The job repeats the write for the others.
        manage("worker", "--once", REDIS_URL=valkey.url)
        with Redis.from_url(valkey.url) as redis:
            assert list(redis.scan_iter("*:revoked:sid:*"))


def test_with_both_down_nothing_is_valid(web, tokens, valkey, owner_connection):
    kept, _ = tokens
    valkey.kill()
    name = owner_connection.info.dbname
    with psycopg.connect(os.environ["BOOTSTRAP_DATABASE_URL"], autocommit=True) as superuser:
        superuser.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            for _ in range(REQUESTS):
                status, answer = call(web, "GET", "/users/me", kept)
                assert (status, answer["code"]) == (503, "unavailable")
        finally:
            superuser.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert eventually(lambda: statuses(web, kept) == {200})
