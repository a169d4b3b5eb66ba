"""A restore: a new database is filled and proven beside the old one, which then gives up its name in one transaction."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from saas.kit import clock, gate
from saas.kit.progress import Progress
from saas.kit.redis import RedisUnavailable
from saas.operations import databases
from saas.operations.errors import OperationRefused
from saas.operations.manifests import Manifest, read_manifest
from saas.operations.programs import connect_as_owner

RESTORED = "_restored"
# A connection that was just closed is still there for a moment.
LEAVING_SECONDS = 2
# Anybody's, in whatever schema: what is dropped for being empty must be.
HAS_TABLES = r"""
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
    )
"""
CONNECTED = """
    SELECT coalesce(usename, backend_type), count(*) FROM pg_stat_activity WHERE datname = %s GROUP BY 1 ORDER BY 1
"""
LIVE_SESSIONS = "SELECT id FROM accounts_session WHERE revoked_at IS NULL AND expires_at > now()"
END_SESSIONS = """
    UPDATE accounts_session SET revoked_at = now(), revoke_reason = 'restored'
    WHERE revoked_at IS NULL AND NOT id = ANY(%s)
"""
ORGANIZATIONS = "SELECT id FROM tenancy_organization"


@dataclass
class Restore:
    """Its steps, in order; killed between any two of them, the old or the new database is there, whole."""

    dump: Path
    superuser: psycopg.Connection[Any]
    replace: bool = False
    keep_sessions: bool = False
    manifest: Manifest = field(init=False)
    sessions_ended: int = 0
    # Where the database lies that was replaced; empty if there was none.
    replaced: str = ""

    def __post_init__(self) -> None:
        self.target, self.fresh = databases.own_name(), databases.beside(RESTORED)

    @property
    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        return [("examine", self.examine), *self.changes]

    @property
    def changes(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("fill", self.fill),
            ("verify", self.verify),
            ("migrate", self.migrate),
            ("end sessions", self.end_sessions),
            ("swap", self.swap),
            ("forget", self.forget),
        ]

    def examine(self) -> None:
        """Refuse what can't or must not be restored; nothing is changed yet."""
        self.manifest = read_manifest(self.dump)
        version = self.superuser.info.server_version // 10_000
        if version != self.manifest.server_version:
            raise OperationRefused(
                f"{self.dump} is of PostgreSQL {self.manifest.server_version}, this server is {version}"
            )
        unknown = sorted(set(self.manifest.migrations) - _known_migrations())
        if unknown:
            raise OperationRefused(
                f"{self.dump} is newer than this release, which lacks the migrations {', '.join(unknown)}"
            )
        if self._is_filled() and not self.replace:
            raise OperationRefused(
                f"the database {self.target} is there and not empty: --replace puts it aside"
            )
        if self.keep_sessions and not self._is_filled():
            raise OperationRefused(
                "--keep-sessions needs the old database: nothing else says which sessions were ended since"
            )
        self._require_nobody()

    def fill(self) -> None:
        databases.drop_scratch(self.superuser, self.fresh)
        databases.fill(self.fresh, self.dump, major=self.manifest.server_version)

    def verify(self) -> None:
        databases.verify(self.fresh, self.manifest)

    def migrate(self) -> None:
        """Bring an older release's schema and context keys up to date, and look at the fence of what came out."""
        with databases.owner_alias(self.fresh) as alias:
            call_command("migrate", database=alias, interactive=False, verbosity=0, stdout=StringIO())
        databases.require_whole_fence(self.fresh)

    def end_sessions(self) -> None:
        """What was revoked since the backup must not revive: all sessions end, or those that are not live by now."""
        live: list[UUID] = []
        if self.keep_sessions:
            with connect_as_owner(self.target) as owner:
                live = [row[0] for row in owner.execute(LIVE_SESSIONS)]
        with connect_as_owner(self.fresh) as owner:
            self.sessions_ended = owner.execute(END_SESSIONS, [live]).rowcount

    def swap(self) -> None:
        """Both names change in one transaction, so that there is no moment without a database."""
        self._require_nobody()
        aside = databases.beside(f"_before_{clock.now():%Y%m%dT%H%M%SZ}")
        was_filled = self._is_filled()
        if databases.exists(self.superuser, self.target) and not was_filled:
            databases.drop(self.superuser, self.target)
        try:
            with self.superuser.transaction():
                if was_filled:
                    self._rename(self.target, aside)
                databases.mark(self.superuser, self.fresh, is_scratch=False)
                self._rename(self.fresh, self.target)
        except psycopg.errors.ObjectInUse as error:
            raise OperationRefused(f"{error.diag.message_primary}: stop web and worker") from error
        self.replaced = aside if was_filled else ""

    def forget(self) -> None:
        """Let nobody's facts in Redis outlive the rows that they were read from."""
        organizations = self._organizations()
        with Progress("organizations", len(organizations)) as progress:
            for organization_id in progress.over(organizations):
                try:
                    gate.forget_organization(organization_id)
                except RedisUnavailable as error:
                    raise OperationRefused(
                        f"{self.target} is restored, but Redis can't be told: leave web stopped for "
                        f"{gate.FACTS_SECONDS} s, until what it knows of sessions has run out"
                    ) from error

    def _organizations(self) -> list[UUID]:
        found: set[UUID] = set()
        for name in filter(None, (self.target, self.replaced)):
            with connect_as_owner(name) as owner:
                found |= {row[0] for row in owner.execute(ORGANIZATIONS)}
        return sorted(found)

    def _is_filled(self) -> bool:
        if not databases.exists(self.superuser, self.target):
            return False
        with connect_as_owner(self.target) as owner:
            row = owner.execute(HAS_TABLES).fetchone()
        return bool(row and row[0])

    def _require_nobody(self) -> None:
        deadline = time.monotonic() + LEAVING_SECONDS
        while connected := self.superuser.execute(CONNECTED, [self.target]).fetchall():
            if time.monotonic() > deadline:
                who = ", ".join(f"{role} ({count})" for role, count in connected)
                raise OperationRefused(f"{self.target} is in use by {who}: stop web and worker first")
            time.sleep(0.05)

    def _rename(self, old: str, new: str) -> None:
        self.superuser.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
        )


def _known_migrations() -> set[str]:
    return {f"{app}.{name}" for app, name in MigrationLoader(None, ignore_no_migrations=True).disk_migrations}
