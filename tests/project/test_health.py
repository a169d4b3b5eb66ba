import os
import signal
import socket

import psycopg
import pytest
from django.conf import settings as project
from django.db import connections
from django.test import Client

from saas import probe
from saas.kit import redis as kit_redis
from saas.kit.breaker import Breaker
from saas.kit.redis import PoolStatus, cache_settings


@pytest.fixture
def client():
    return Client()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def database(monkeypatch):
    """A probe of this test's own, so that no state of it outlives the test."""
    question = probe.DatabaseQuestion()
    monkeypatch.setattr(probe, "database", probe.Probe(question))
    yield question
    question._connection.close()


@pytest.fixture
def no_redis(settings, monkeypatch):
    monkeypatch.setattr(kit_redis, "breaker", Breaker())
    settings.CACHES = {"default": cache_settings(f"redis://127.0.0.1:{free_port()}/0", max_connections=2)}


@pytest.fixture
def no_database(database):
    connection = connections.create_connection("default")
    connection.settings_dict = {**connection.settings_dict, "PORT": str(free_port())}
    connection.inc_thread_sharing()
    database._connection = connection


@pytest.fixture
def frozen_database(database, client):
    """PostgreSQL stops in the middle of everything, as far as the probe's connection can tell."""
    assert client.get("/health").status_code == 200
    pid = database._connection.connection.info.backend_pid
    try:
        os.kill(pid, signal.SIGSTOP)
    except (ProcessLookupError, PermissionError):
        pytest.skip("PostgreSQL's processes are not ours to stop")
    yield
    os.kill(pid, signal.SIGCONT)


def migrate_one_less(database):
    """Take the newest migration out of the record; its number shows how many rows went."""
    alias = "owner" if "owner" in project.DATABASES else "default"
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations) RETURNING *"
        )
        return alias, cursor.fetchone()


class TestHealth:
    def test_it_works(self, client, database):
        response = client.get("/health")
        assert response.status_code == 200
        assert response.json() == {
            "status": "ok",
            "version": project.VERSION,
            "checks": {"database": "ok", "migrations": "ok", "redis": "ok"},
        }

    def test_redis_down_is_degraded(self, client, database, no_redis):
        response = client.get("/health")
        assert (response.status_code, response.json()["status"]) == (200, "degraded")
        assert response.json()["checks"]["redis"] == "down"

    def test_postgresql_down_is_down(self, client, no_database):
        response = client.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "down")
        assert response.json()["checks"] == {"database": "down", "migrations": "unknown", "redis": "ok"}
        assert response.headers["Retry-After"]

    def test_postgresql_frozen_is_down_and_well_again_when_it_thaws(self, client, frozen_database, database):
        assert client.get("/health").json()["checks"]["database"] == "down"
        os.kill(database._connection.connection.info.backend_pid, signal.SIGCONT)
        probe.database.ask().result(timeout=30)
        assert client.get("/health").json()["checks"]["database"] == "ok"

    def test_pending_migrations_are_down(self, client, database):
        alias, row = migrate_one_less(database)
        try:
            response = client.get("/health")
        finally:
            with connections[alias].cursor() as cursor:
                cursor.execute("INSERT INTO django_migrations VALUES (%s, %s, %s, %s)", row)
        assert (response.status_code, response.json()["checks"]["migrations"]) == (503, "pending")
        assert client.get("/health").status_code == 200

    def test_it_comes_back_with_a_new_connection(self, client, database):
        client.get("/health")
        pid = database._connection.connection.info.backend_pid
        with psycopg.connect(os.environ["BOOTSTRAP_DATABASE_URL"]) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert client.get("/health").status_code == 200

    @pytest.mark.parametrize("accept", ["text/html", "text/plain", "image/png", "nonsense"])
    def test_it_answers_whatever_a_monitor_accepts(self, client, database, accept):
        response = client.get("/health", headers={"Accept": accept})
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


class TestLive:
    def test_it_asks_nobody_else(self, client, no_database, no_redis):
        response = client.get("/health/live")
        assert (response.status_code, response.json()["status"]) == (200, "ok")


class TestReady:
    def test_it_works_without_redis(self, client, database, no_redis):
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["status"]) == (200, "ok")

    def test_it_is_not_ready_without_postgresql(self, client, no_database):
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["status"]) == (503, "down")


class TestRedis:
    def test_it_works(self, client):
        response = client.get("/health/redis")
        body = response.json()
        assert response.status_code == 200
        assert (body["status"], body["environment"], body["warnings"]) == ("ok", project.DEPLOYMENT_ENV, [])
        assert body["latency_ms"] > 0
        assert body["pool"].keys() == {"max_connections", "in_use", "available", "utilization_percent"}

    def test_it_is_down_when_redis_does_not_answer(self, client, no_redis):
        response = client.get("/health/redis")
        body = response.json()
        assert (response.status_code, body["status"], body["latency_ms"]) == (503, "down", None)
        assert body["pool"]["max_connections"] == 2
        assert "127.0.0.1" not in response.text

    def test_it_warns_of_a_busy_pool(self, client, monkeypatch):
        monkeypatch.setattr("saas.health.pool_status", lambda: PoolStatus(10, 9, 1, 90.0))
        assert "connections" in client.get("/health/redis").json()["warnings"][0]
