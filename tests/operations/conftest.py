"""A database of its own, which a test may destroy and restore; the worker's own stays."""

import os
import shutil
import subprocess
import sys

import psycopg
import pytest
from psycopg import sql

from tests.conftest import copy_database, manage, with_database

FILL = """
    INSERT INTO tenancy_organization (id, slug, name, plan, access, seat_limit, support_allowed, created_at)
        SELECT gen_random_uuid(), 'org-' || n, E'Größe \\\\ ''' || n, 'free', 'full', 3, true, now()
        FROM generate_series(1, 20) AS n;
    INSERT INTO accounts_user (id, organization_id, email, pending_email, name, role, password, locale, timezone,
            is_staff, created_at, updated_at)
        SELECT gen_random_uuid(), id, slug || '@example.com', '', E'O''Hara\\t' || name, 'owner', 'x', 'en', 'UTC',
            false, now(), now() FROM tenancy_organization;
    INSERT INTO accounts_session (id, organization_id, user_id, created_at, last_seen_at, expires_at, user_agent,
            refresh_generation, recent_rotations, revoke_reason)
        SELECT gen_random_uuid(), organization_id, id, now(), now(), now() + interval '30 days', 'tests',
            1, '[]', '' FROM accounts_user;
"""


class Platform:
    """A database under its name, the commands on it, and a look at it."""

    def __init__(self, superuser_url, name):
        self.superuser_url, self.name = superuser_url, name

    def manage(self, *arguments, **variables):
        return manage(*arguments, database=self.name, check=False, **variables)

    @property
    def environment(self):
        """Of a process that a test kills: only the owner's connection matters there."""
        owner = with_database(os.environ["OWNER_DATABASE_URL"], self.name)
        return {**os.environ, "OWNER_DATABASE_URL": owner, "DJANGO_SETTINGS_MODULE": "saas.settings"}

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )

    def connect(self, name=None, variable="OWNER_DATABASE_URL"):
        return psycopg.connect(with_database(os.environ[variable], name or self.name), autocommit=True)

    def ask(self, query, *parameters, name=None):
        with self.connect(name) as owner:
            return owner.execute(query, parameters).fetchall()

    def change(self, statement, *parameters):
        with self.connect() as owner:
            owner.execute(statement, parameters)

    def databases(self):
        with psycopg.connect(self.superuser_url) as superuser:
            rows = superuser.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{self.name}%"]
            )
            return {row[0] for row in rows}

    def destroy(self):
        with psycopg.connect(self.superuser_url, autocommit=True) as superuser:
            for name in self.databases():
                superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def make_empty(self, name=None):
        with psycopg.connect(self.superuser_url, autocommit=True) as superuser:
            statement = sql.SQL("CREATE DATABASE {} OWNER saas_owner")
            superuser.execute(statement.format(sql.Identifier(name or self.name)))


@pytest.fixture(scope="session")
def saved(own_database, superuser_url, tmp_path_factory):
    """A filled database to copy, and its backup: made once, since each takes seconds."""
    platform = Platform(superuser_url, f"{own_database}_saved")
    copy_database(superuser_url, platform.name)
    platform.change(FILL)
    directory = tmp_path_factory.mktemp("saved")
    done = platform.manage("backup", str(directory))
    assert done.returncode == 0, done.stderr
    assert platform.databases() == {platform.name}
    yield platform, directory
    platform.destroy()


@pytest.fixture
def platform(own_database, superuser_url, saved):
    platform = Platform(superuser_url, f"{own_database}_operated")
    platform.destroy()
    copy_database(superuser_url, platform.name, template=saved[0].name)
    yield platform
    platform.destroy()


@pytest.fixture
def backup(saved, tmp_path):
    """The path of a backup of the platform, which a test may spoil."""
    shutil.copytree(saved[1], tmp_path / "backups")
    (dump,) = (tmp_path / "backups").glob("*.dump")
    return dump
