"""A real PostgreSQL as the runtime roles, a real Redis, and the cast: Alice owns Acme, Bob is in it, Charlie owns Globex."""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.test import Client
from django.test.signals import setting_changed
from django_redis import get_redis_connection
from psycopg import sql

from accounts.hashers import BulkheadPasswordHasher
from accounts.models import User
from accounts.passwords import hash_password
from accounts.services.registration import register_owner
from accounts.services.sessions import Device, open_session, session_tokens
from saas.kit import attempts, clock, rate_limits, redis
from saas.kit.breaker import Breaker
from tenancy.bootstrap import bootstrap
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID, Role, TenantModelBase

TEMPLATE = "saas_template"
READY = "migrated"
PASSWORD = "a-long-enough-secret"
DEVICE = Device(ip="192.0.2.1", user_agent="tests")
# Many hashes are made; what a hash costs is not what these tests are about.
ROUNDS = 4


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """With REQUIRE_ALL=1 nothing may be missing on the machine: a skip is a failure."""
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but REQUIRE_ALL=1: {report.longrepr}"


def with_database(url, name):
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def superuser_url():
    url = os.environ.get("BOOTSTRAP_DATABASE_URL")
    if not url:
        pytest.exit("the tests need servers: run `make test`", returncode=4)
    return url


@pytest.fixture(scope="session")
def template_database(superuser_url):
    """The migrated database that others are copied from; made once a run, by whichever process comes first."""
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_advisory_lock(1)")
        comment = superuser.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [TEMPLATE]
        ).fetchone()
        if comment is None or comment[0] != READY:
            bootstrap(superuser_url, database=TEMPLATE, passwords=role_passwords())
            manage("migrate", "--verbosity=0", database=TEMPLATE)
            manage("jwt_keys", "generate", "--if-missing", database=TEMPLATE)
            superuser.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(TEMPLATE), sql.Literal(READY))
            )
        superuser.execute("SELECT pg_advisory_unlock(1)")
    return TEMPLATE


def role_passwords():
    return {database["USER"]: database["PASSWORD"] for database in settings.DATABASES.values()}


def manage(*arguments, database=None, check=True, **variables):
    """Run a management command in a process of its own, on this worker's database or another one."""
    environment = {**os.environ, **variables}
    if database:
        for name in settings.DATABASE_ROLES.values():
            environment[name] = with_database(environment[name], database)
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    # A test that fails shows it.
    sys.stderr.write(done.stderr)
    if check:
        done.check_returncode()
    return done


def copy_database(superuser_url, name, template=TEMPLATE):
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_advisory_lock(1)")
        superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        superuser.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER saas_owner").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        superuser.execute("SELECT pg_advisory_unlock(1)")
    # A copy takes over its template's tables, but not the rights on the database itself.
    bootstrap(superuser_url, database=name, passwords={})


@pytest.fixture(scope="session", autouse=True)
def own_database(template_database, superuser_url, django_db_blocker):
    """This process's own database, under every alias and in the environment of what it starts."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"saas_test_{worker}"
    copy_database(superuser_url, name)
    for alias, variable in settings.DATABASE_ROLES.items():
        os.environ[variable] = with_database(os.environ[variable], name)
        settings.DATABASES[alias]["NAME"] = connections[alias].settings_dict["NAME"] = name
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 0
    os.environ["REDIS_URL"] = with_database(os.environ["REDIS_URL"], number)
    # Patient, since these machines are busy: what a slow Redis does has tests of its own.
    settings.CACHES["default"] = redis.cache_settings(
        os.environ["REDIS_URL"], max_connections=50, socket_timeout=10, pool_timeout=10
    )
    # Importing the tests may have opened the cache already: Django would keep that one, on everybody's database.
    setting_changed.send(sender=None, setting="CACHES", value=settings.CACHES, enter=True)
    os.environ["BCRYPT_ROUNDS"] = str(ROUNDS)
    BulkheadPasswordHasher.rounds = ROUNDS
    django_db_blocker.unblock()
    yield name
    connections.close_all()


@pytest.fixture(autouse=True)
def clean_slate(own_database):
    database = get_redis_connection("default").connection_pool.connection_kwargs["db"]
    assert f"/{database}" == urlsplit(os.environ["REDIS_URL"]).path, (
        "tests of two workers would meet in Redis"
    )
    yield
    for connection in connections.all(initialized_only=True):
        connection.close()
    with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as owner:
        # Keys between tenant tables are checked at the commit, so the order does not matter.
        for model in apps.get_models():
            if isinstance(model, TenantModelBase):
                owner.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(model._meta.db_table)))
        owner.execute("DELETE FROM tenancy_supportaudit")
        owner.execute("DELETE FROM tenancy_organization WHERE id <> %s", [SUPPORT_ORGANIZATION_ID])
        owner.execute("DELETE FROM procrastinate_periodic_defers")
        owner.execute("DELETE FROM procrastinate_jobs")
    redis.breaker = Breaker(on_change=redis._report)
    rate_limits.local_windows.__init__()
    attempts.local_attempts.__init__()
    get_redis_connection("default").flushdb()


@dataclass
class Person:
    user: User
    access_token: str
    refresh_token: str
    session_id: str

    @property
    def organization_id(self):
        return self.user.organization_id

    @property
    def api(self):
        return Api(self.access_token)


class Api:
    """Speaks JSON with a bearer token."""

    def __init__(self, token=None):
        self._client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def _call(self, method, path, body=None, **headers):
        send = getattr(self._client, method)
        data = {} if method == "get" else {"data": body, "content_type": "application/json"}
        return send(path, headers={**self.headers, **headers}, **data)

    def get(self, path, **headers):
        return self._call("get", path, **headers)

    def post(self, path, body=None, **headers):
        return self._call("post", path, body if body is not None else {}, **headers)

    def patch(self, path, body=None, **headers):
        return self._call("patch", path, body if body is not None else {}, **headers)

    def put(self, path, body=None, **headers):
        return self._call("put", path, body if body is not None else {}, **headers)

    def delete(self, path, body=None, **headers):
        return self._call("delete", path, body if body is not None else {}, **headers)


def make_person(session):
    tokens = session_tokens(session)
    with org_context(session.organization_id):
        user = User.objects.select_related("organization").get(id=session.user_id)
    return Person(user, tokens.access_token, tokens.refresh_token, str(session.id))


def make_owner(email="owner@example.com", organization_name="Example", name="Olive"):
    session = register_owner(
        email=email, password=PASSWORD, organization_name=organization_name, name=name, device=DEVICE
    )
    return make_person(session)


def make_staff(email="sam@support.example", name="Sam"):
    encoded = hash_password(PASSWORD)
    with org_context(SUPPORT_ORGANIZATION_ID):
        return User.objects.create(email=email, name=name, password=encoded, is_staff=True)


def make_member(organization_id, email="member@example.com", role=Role.MEMBER, name="Max"):
    encoded = hash_password(PASSWORD)
    with org_context(organization_id):
        user = User.objects.create(email=email, name=name, role=role, password=encoded)
        session = open_session(user=user, device=DEVICE)
    return make_person(session)


class FakeClock:
    """What `clock.now` says: the real time, moved on by whoever needs it later."""

    def __init__(self):
        self.moment = datetime.now(UTC)

    def __call__(self):
        return self.moment

    def advance(self, **duration):
        self.moment += timedelta(**duration)


@pytest.fixture
def fake_clock(monkeypatch):
    fake = FakeClock()
    monkeypatch.setattr(clock, "now", fake)
    return fake


@pytest.fixture
def anonymous():
    return Api()


@pytest.fixture
def alice():
    return make_owner("alice@acme.example", "Acme", "Alice")


@pytest.fixture
def bob(alice):
    return make_member(alice.organization_id, "bob@acme.example", name="Bob")


@pytest.fixture
def charlie():
    return make_owner("charlie@globex.example", "Globex", "Charlie")


@pytest.fixture
def staff():
    """Sam, of the support staff."""
    encoded = hash_password(PASSWORD)
    with org_context(SUPPORT_ORGANIZATION_ID):
        return User.objects.create(email="sam@support.example", name="Sam", password=encoded, is_staff=True)


@pytest.fixture
def owner_connection():
    """saas_owner's connection, which sees every organization: for asserting, never for what is under test."""
    with psycopg.connect(os.environ["OWNER_DATABASE_URL"], autocommit=True) as connection:
        yield connection
