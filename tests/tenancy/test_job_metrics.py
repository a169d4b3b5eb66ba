"""The worker's own /metrics: what waits, how long, and what was given up."""

import os
import subprocess
import sys
import urllib.request

import pytest
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest

from saas.launcher.processes import free_port
from tenancy.job_metrics import JobMetrics
from tests.project.launching import eventually


def told():
    registry = CollectorRegistry()
    registry.register(JobMetrics())
    return generate_latest(registry).decode()


def test_what_waits_is_counted_by_task(alice, bob, charlie, owner_connection):
    assert 'saas_jobs_pending{task="send_mail"} 2.0' in told()
    owner_connection.execute("UPDATE procrastinate_events SET at = at - interval '1 hour'")
    [oldest] = [line for line in told().splitlines() if line.startswith("saas_jobs_oldest_seconds{")]
    assert 3600 <= float(oldest.split()[-1]) < 3700


def test_what_is_for_later_does_not_wait_unless_it_failed_before(alice, owner_connection):
    owner_connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour'")
    assert "saas_jobs_pending{" not in told()
    owner_connection.execute("UPDATE procrastinate_jobs SET attempts = 3")
    assert 'saas_jobs_pending{task="send_mail"} 1.0' in told()


def test_what_was_given_up_is_counted(alice, owner_connection):
    owner_connection.execute("UPDATE procrastinate_jobs SET status = 'failed'")
    assert 'saas_jobs_failed{task="send_mail"} 1.0' in told()


def test_no_organization_is_named(alice):
    assert str(alice.organization_id) not in told()


def test_without_postgresql_there_is_nothing_and_no_error(alice, monkeypatch):
    from django.db import connections

    monkeypatch.setitem(connections["worker"].settings_dict, "PORT", 1)
    connections["worker"].close()
    assert "saas_jobs_pending{" not in told()


@pytest.fixture
def port():
    return free_port()


def test_the_worker_serves_them(alice, port):
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--metrics-port", str(port)],
        env={**os.environ, "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"},
        cwd=settings.BASE_DIR,
    )
    try:
        assert eventually(lambda: 'saas_mails_total{result="sent"} 1.0' in fetch(port))
    finally:
        worker.terminate()
        worker.wait()


def fetch(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""
