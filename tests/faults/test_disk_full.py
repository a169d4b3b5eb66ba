"""PostgreSQL on a small disk that fills up: nothing acknowledged is lost, and all is well once there is room again."""

import json
import os
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings

from saas.launcher.servers import Postgres
from tenancy.bootstrap import bootstrap
from tests.conftest import PASSWORD, manage, role_passwords
from tests.faults.conftest import Answer
from tests.faults.workers import Worker, look_for_the_dead, mails_through, run_all, times_taken, unfinished
from tests.project.launching import eventually
from tests.project.serving import running
from tests.sendgrid import SendGrid

pytestmark = pytest.mark.soak

DISK = "256m"
DATABASE = "saas_on_a_small_disk"
# Each takes rows of some ten tables: sooner or later one of them needs a page more.
REGISTRATIONS = 1000
# As little as it allows, so that the log of changes soon needs a file more.
SMALL_LOG = ("min_wal_size = '32MB'", "max_wal_size = '48MB'", "autovacuum = off")
BROKEN_INDEXES = """
    SELECT count(bt_index_check(c.oid, true)) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid AND c.relpersistence = 'p'
"""


class Disk:
    """A file system of its own, with all of PostgreSQL's files in it."""

    def __init__(self, path):
        self.path = path
        self.ballast = path / "ballast"

    def fill(self):
        with self.ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass

    def clear(self):
        self.ballast.unlink()


@pytest.fixture(scope="module")
def disk():
    path = Path(tempfile.mkdtemp(prefix="saas-small-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0711", "tmpfs", str(path)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        path.rmdir()
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)
    path.rmdir()


@pytest.fixture(scope="module")
def postgres(disk):
    with Postgres(disk.path / "data") as postgres:
        assert postgres.data_dir.is_relative_to(disk.path)
        with psycopg.connect(postgres.url, autocommit=True) as superuser:
            for setting in SMALL_LOG:
                superuser.execute(f"ALTER SYSTEM SET {setting}")
        yield postgres


@pytest.fixture(scope="module")
def variables(postgres, own_database):
    """The same roles as everywhere, on that server."""
    bootstrap(postgres.url, database=DATABASE, passwords=role_passwords())
    place = urlsplit(postgres.url)
    urls = {}
    for name in settings.DATABASE_ROLES.values():
        role = urlsplit(os.environ[name])
        netloc = f"{role.username}:{role.password}@{place.hostname}:{place.port}"
        urls[name] = urlunsplit(role._replace(netloc=netloc, path=f"/{DATABASE}"))
    manage("migrate", "--verbosity=0", **urls)
    return urls


class Registry:
    """Registers organization after organization, and keeps what was acknowledged."""

    def __init__(self, server):
        self.server = server
        self.asked = 0
        self.tokens = {}
        self.refused = []

    def ask(self, method, path, body=None, token=None):
        # No limit of an address is met.
        self.asked += 1
        headers = {"Content-Type": "application/json", "X-Forwarded-For": f"198.18.7.{self.asked % 250}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with closing(self.server.connect()) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return Answer(connection.getresponse())

    def register(self):
        number = len(self.tokens) + len(self.refused)
        email = f"ada{number}@example.com"
        answer = self.ask(
            "POST",
            "/auth/register",
            {"email": email, "password": PASSWORD, "org": f"Engine {number}", "name": "Ada"},
        )
        if answer.status == 201:
            self.tokens[email] = answer.body["access_token"]
        else:
            self.refused.append(answer)
        return answer.status == 201

    def reads(self):
        """The statuses with which the acknowledged read what PostgreSQL alone knows."""
        tokens = list(self.tokens.values())[-20:]
        return {self.ask("GET", "/auth/sessions", token=token).status for token in tokens}

    def assert_refusals_are_clear(self):
        for answer in self.refused:
            assert (answer.status, answer.body["code"]) == (503, "unavailable"), answer
            assert int(answer.headers["Retry-After"]) > 0

    def assert_nothing_is_lost(self, owner):
        people = {email for (email,) in owner.execute("SELECT email FROM accounts_user")}
        assert self.tokens.keys() <= people
        whole = owner.execute(
            "SELECT (SELECT count(*) FROM tenancy_organization WHERE slug <> 'support'), "
            "(SELECT count(*) FROM accounts_session), (SELECT count(*) FROM tenancy_mail)"
        ).fetchone()
        assert whole == (len(people),) * 3
        # An answer that never came may have been a yes; these all came.
        assert len(people) == len(self.tokens)


@pytest.fixture(scope="module")
def registry(variables, tmp_path_factory):
    log = tmp_path_factory.mktemp("disk") / "log"
    with running(log, TRUSTED_PROXY_COUNT="1", **variables) as server:
        yield Registry(server)


@pytest.fixture(scope="module")
def sendgrid():
    with SendGrid() as fake:
        yield fake


@pytest.fixture
def superuser(postgres):
    return lambda: psycopg.connect(
        urlunsplit(urlsplit(postgres.url)._replace(path=f"/{DATABASE}")), autocommit=True
    )


def connect(variables):
    return psycopg.connect(variables["OWNER_DATABASE_URL"], autocommit=True)


def assert_no_index_is_broken(superuser):
    with superuser() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        (checked,) = connection.execute(BROKEN_INDEXES).fetchone()
        assert checked > 50


def test_tables_that_can_not_grow(disk, registry, variables, superuser, sendgrid, tmp_path):
    """Writes are refused, reads go on, and the worker's mails come once there is room."""
    assert all(registry.register() for _ in range(3))
    with superuser() as connection:
        connection.execute("CHECKPOINT")
    with connect(variables) as owner, Worker(owner, tmp_path / "log", **variables, **mails_through(sendgrid)):
        disk.fill()
        for _ in range(REGISTRATIONS):
            registry.register()
            if len(registry.refused) == 10:
                break
        assert len(registry.refused) == 10
        registry.assert_refusals_are_clear()
        assert registry.reads() == {200}
        disk.clear()
        assert eventually(registry.register)
        registry.assert_nothing_is_lost(owner)
    assert_no_index_is_broken(superuser)


def test_a_log_of_changes_that_can_not_grow(disk, postgres, registry, variables, superuser):
    """PostgreSQL stops at once, and may not even come up while there is no room."""
    assert registry.register()
    disk.fill()
    with suppress(psycopg.Error), superuser() as connection:
        for _ in range(50):
            connection.execute("SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'test', 'fill')")
    registry.refused.clear()
    for _ in range(10):
        registry.register()
    registry.assert_refusals_are_clear()
    assert registry.refused
    disk.clear()
    if not eventually(registry.register, seconds=5):
        assert not postgres.is_running
        postgres.start()
        assert eventually(registry.register)
    assert registry.reads() == {200}
    with connect(variables) as owner:
        registry.assert_nothing_is_lost(owner)
    assert_no_index_is_broken(superuser)


def test_every_mail_comes(registry, variables, sendgrid):
    """Of those two disks: the worker may have died on them, and its jobs are taken up again."""
    with connect(variables) as owner:
        owner.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        look_for_the_dead(owner)
        manage("worker", "--once", **variables, **mails_through(sendgrid))
        run_all(owner, **variables, **mails_through(sendgrid))
        assert unfinished(owner) == []
        mails = dict(owner.execute("SELECT message_id, crashes FROM tenancy_mail").fetchall())
    taken = times_taken(sendgrid)
    assert taken.keys() == mails.keys()
    assert len(mails) == len(registry.tokens)
    assert all(taken[each] <= 1 + min(crashes, 1) for each, crashes in mails.items())
