import json
import os
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from accounts.keys import key_directory
from saas.kit import clock
from saas.operations import doctor
from tests.conftest import copy_database, manage, with_database

NOBODY = "127.0.0.1:9"
EXAMINED = [
    "settings",
    "databases",
    "fence",
    "migrations",
    "redis",
    "stripe",
    "mail",
    "signing keys",
    "clock",
    "worker",
]


@pytest.fixture
def worker(own_database, owner_connection):
    """A worker that showed itself just now."""
    owner_connection.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    yield
    owner_connection.execute("DELETE FROM procrastinate_workers")


def examine(**variables):
    """The exit code, and the findings by name."""
    done = manage("doctor", "--json", check=False, **variables)
    findings = {each["name"]: each for each in json.loads(done.stdout)}
    assert list(findings) == EXAMINED
    return done, findings


def test_it_says_that_all_is_well(worker):
    done = manage("doctor", check=False)
    lines = done.stdout.splitlines()
    assert [line[9:].partition(":")[0] for line in lines] == EXAMINED
    assert {line.split()[0] for line in lines} == {"ok", "skipped"}, done.stdout
    assert done.returncode == 0


def test_everything_that_is_away_is_told_in_one_run(worker):
    away = dict.fromkeys(("DATABASE_URL", "WORKER_DATABASE_URL"), f"postgres://nobody@{NOBODY}/saas")
    done, findings = examine(
        REDIS_URL=f"redis://{NOBODY}/0",
        JWT_KEYS_DIR="/nowhere",
        STRIPE_SECRET_KEY="sk_test_x",
        STRIPE_API_BASE=f"http://{NOBODY}",
        EMAIL_BACKEND="anymail.backends.sendgrid.EmailBackend",
        SENDGRID_API_URL=f"http://{NOBODY}/v3/",
        **away,
    )
    assert done.returncode == 1
    in_trouble = {name for name, finding in findings.items() if finding["state"] == "trouble"}
    assert in_trouble == set(EXAMINED) - {"settings", "fence"}
    assert all(findings[name]["remedy"] for name in in_trouble)
    assert "Traceback" not in done.stderr
    assert "jwt_keys generate" in findings["signing keys"]["detail"]


def test_unsafe_settings(worker):
    _, findings = examine(
        DEPLOYMENT_ENV="production", SECRET_KEY="short", PUBLIC_URL="https://app.example.com"
    )
    assert "saas.E001" in findings["settings"]["detail"]
    assert "openssl rand" in findings["settings"]["remedy"]


def test_an_owner_without_rights(worker):
    _, findings = examine(OWNER_DATABASE_URL=os.environ["WORKER_DATABASE_URL"])
    assert findings["databases"]["detail"] == "OWNER_DATABASE_URL logs in as saas_worker"


def test_a_live_key_outside_production(worker):
    _, findings = examine(STRIPE_SECRET_KEY="sk_live_x")
    assert findings["stripe"]["detail"] == "STRIPE_SECRET_KEY is of live mode in development"


def test_a_hole_in_the_fence_and_a_missing_migration(superuser_url, own_database):
    name = f"{own_database}_ailing"
    copy_database(superuser_url, name)
    with psycopg.connect(with_database(os.environ["OWNER_DATABASE_URL"], name), autocommit=True) as owner:
        owner.execute("DROP POLICY accounts_user_fence ON accounts_user")
        owner.execute("DELETE FROM django_migrations WHERE app = 'support'")
    done = manage("doctor", database=name, check=False)
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    assert "fence: 1 holes, the first: accounts_user: policy accounts_user_fence is missing" in done.stdout
    assert "migrations: some are not applied -> run `manage.py migrate`" in done.stdout
    assert "worker: none was ever there -> start `manage.py worker`" in done.stdout
    assert done.returncode == 1


class TestWorker:
    def trouble(self):
        (finding,) = [each for each in doctor.examine() if each.name == "worker"]
        assert finding.state == "trouble"
        return finding.detail

    def test_a_silent_one(self, worker, owner_connection):
        owner_connection.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '2 minutes'"
        )
        assert "sign of life is 1" in self.trouble()

    def test_a_queue_that_stands(self, worker, owner_connection):
        owner_connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 'x')"
        )
        owner_connection.execute("UPDATE procrastinate_events SET at = now() - interval '10 minutes'")
        assert "1 jobs are due, the oldest for 6" in self.trouble()


def test_a_key_that_is_too_old(fake_clock):
    fake_clock.advance(days=doctor.KEY_DAYS + 1)
    assert clock.now() - clock.from_timestamp(key_directory().ring().active.created_at) > timedelta(days=365)
    with pytest.raises(doctor.Trouble) as raised:
        doctor.examine_signing_keys()
    assert "jwt_keys generate" in raised.value.remedy


def test_a_clock_that_is_off(monkeypatch):
    ours = doctor.time.time
    monkeypatch.setattr(doctor.time, "time", lambda: ours() - 60)
    with pytest.raises(doctor.Trouble) as raised:
        doctor.examine_clock()
    assert raised.value.detail.startswith("+60.")
