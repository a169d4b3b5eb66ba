"""Fills the database by COPY, as saas_owner: `python -m bench.data --users 1000000`.

The platform must be migrated; OWNER_DATABASE_URL says where.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bcrypt
import psycopg
from psycopg import sql

from bench.people import CROWD, PASSWORD, PEOPLE_AN_ORGANIZATION, Organization, Person, everybody, sample
from saas.kit.progress import Progress

ROUNDS = 12
COLUMNS = {
    "tenancy_organization": ("id", "slug", "name", "plan", "access", "seat_limit", "created_at"),
    "accounts_user": (
        *("id", "organization_id", "password", "email", "name", "role", "locale", "timezone", "is_staff"),
        *("created_at", "updated_at"),
    ),
    "accounts_session": (
        *("id", "organization_id", "user_id", "created_at", "last_seen_at", "expires_at", "ip", "user_agent"),
        *("refresh_generation", "recent_rotations", "revoke_reason"),
    ),
    "billing_customer": (
        *("id", "organization_id", "stripe_id", "creation_key", "created_at", "checkout_id", "checkout_url"),
    ),
}


def password_hash(password: str = PASSWORD, rounds: int = ROUNDS) -> str:
    """As Django's BCryptSHA256PasswordHasher writes it."""
    digest = hashlib.sha256(password.encode()).hexdigest().encode()
    return "bcrypt_sha256$" + bcrypt.hashpw(digest, bcrypt.gensalt(rounds)).decode()


def fill(url: str, *, users: int, sampled: Iterable[Person] = (), show: bool = False) -> None:
    """Fill an empty database in one transaction, with the sessions of the sampled people."""
    sampled = list(sampled)
    with psycopg.connect(url) as owner:
        with Progress("organizations", users // PEOPLE_AN_ORGANIZATION + 1, show=show) as progress:
            copy(owner, "tenancy_organization", progress.over(_organizations(users)))
        with Progress("users", users + CROWD, show=show) as progress:
            copy(owner, "accounts_user", progress.over(_users(users, password_hash())))
        copy(owner, "accounts_session", _sessions(sampled))
        copy(owner, "billing_customer", _customers({person.organization for person in sampled}))
    with psycopg.connect(url, autocommit=True) as owner:
        for table in COLUMNS:
            owner.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def copy(connection: psycopg.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)


def _organizations(users: int) -> Iterator[tuple[Any, ...]]:
    seen: Organization | None = None
    for person in everybody(users):
        if person.organization is not seen:
            seen = person.organization
            yield seen.id, seen.slug, seen.name, "starter", "full", None, person.created_at


def _users(users: int, password: str) -> Iterator[tuple[Any, ...]]:
    for person in everybody(users):
        yield (
            *(person.id, person.organization.id, password, person.email, person.name, person.role),
            *("en", "UTC", False, person.created_at, person.created_at),
        )


def _sessions(people: Iterable[Person]) -> Iterator[tuple[Any, ...]]:
    now = datetime.now(UTC)
    for person in people:
        for session in person.sessions:
            yield (
                *(session, person.organization.id, person.id, now, now, now + timedelta(days=30)),
                *(person.address, "bench", 1, json.dumps([]), ""),
            )


def _customers(organizations: Iterable[Organization]) -> Iterator[tuple[Any, ...]]:
    now = datetime.now(UTC)
    for organization in organizations:
        yield organization.id, organization.id, organization.customer, organization.id, now, "", ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.data", description=__doc__)
    parser.add_argument(
        "--users", type=int, default=1000, help="ten to an organization; 1,000 more in one of theirs"
    )
    options = parser.parse_args()
    if options.users < PEOPLE_AN_ORGANIZATION or options.users % PEOPLE_AN_ORGANIZATION:
        parser.error(f"--users must be a multiple of {PEOPLE_AN_ORGANIZATION}")
    url = os.environ.get("OWNER_DATABASE_URL")
    if not url:
        parser.error("OWNER_DATABASE_URL is not set")
    started = time.monotonic()
    chosen, admins = sample(options.users, size=1000, sessions=1)
    fill(url, users=options.users, sampled=[*chosen, *admins], show=True)
    print(f"{options.users:,} users in {time.monotonic() - started:.0f} s; each one's password: {PASSWORD}")


if __name__ == "__main__":
    main()
