"""The naive side's own database: its role owns the tables, as usual, so that the policies must be forced on it."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from bench.environment import with_path
from bench.people import Person

ROLE = "bench_naive"
POLICIES = """
    ALTER TABLE naive_organization ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON naive_organization
        USING (id = nullif(current_setting('app.tenant', true), '')::uuid);
    ANALYZE;
"""
ORGANIZATIONS = "COPY naive_organization (id, slug, name, plan, access) FROM STDIN"
USERS = """
    COPY naive_user (id, organization_id, password, email, email_verified, name, role, locale, timezone, created_at)
    FROM STDIN
"""


def create(superuser_url: str, people: Iterable[Person], name: str = ROLE) -> str:
    """Make the role, the database and its tables, fill them, and return the role's URL."""
    password = secrets.token_urlsafe(24)
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        superuser.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        superuser.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
        )
        superuser.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name))
        )
    parts = urlsplit(with_path(superuser_url, name))
    url = parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "bench.naive.settings", "NAIVE_DATABASE_URL": url},
        check=True,
    )
    _fill(url, list(people))
    return url


def _fill(url: str, people: list[Person]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(ORGANIZATIONS) as stream:
            for each in {person.organization for person in people}:
                stream.write_row((each.id, each.slug, each.name, "starter", "full"))
        with cursor.copy(USERS) as stream:
            for each in people:
                stream.write_row(
                    (
                        *(each.id, each.organization.id, "!", each.email, False, each.name, each.role),
                        *("en", "UTC", each.created_at),
                    )
                )
        cursor.execute(POLICIES)
