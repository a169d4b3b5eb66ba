import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from saas.kit.errors import DomainError
from saas.operations import deletion
from saas.operations.commands import refusals

DAYS = 30


class Command(BaseCommand):
    help = (
        "Schedules an organization's deletion and tells its owners; the worker carries it out, at Stripe too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", type=UUID, help="its id")
        parser.add_argument("--days", type=int, default=DAYS, help=f"notice for its owners (default {DAYS})")
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--now", action="store_true", help="remove it at once, scheduled or not")
        action.add_argument("--cancel", action="store_true", help="take a scheduled deletion back")
        action.add_argument("--dry-run", action="store_true", help="count its rows only")
        parser.add_argument("--json", action="store_true", help="print what a script can read")

    def handle(self, organization: UUID, *args: Any, **options: Any) -> None:
        if "worker" not in settings.DATABASES:
            raise CommandError("WORKER_DATABASE_URL is not set: saas_worker counts what is left")
        if options["days"] < 0:
            raise CommandError(f"--days {options['days']}: expected 0 or more")
        with refusals():
            done, facts = self._act(organization, options)
        self.stdout.write(json.dumps(facts) if options["json"] else done)

    def _act(self, organization: UUID, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if options["dry_run"]:
            rows = deletion.rows_of(organization)
            return "\n".join(f"{count:9} {table}" for table, count in rows.items()) or "nothing", {
                "rows": rows
            }
        if options["cancel"]:
            deletion.cancel(organization)
            return f"{organization} stays", {"cancelled": True}
        if options["now"]:
            rows = self._remove(organization)
            return f"{organization} is removed, {sum(rows.values())} rows; nothing of it remains", {
                "rows": rows
            }
        due_at = deletion.schedule(organization, days=options["days"]).due_at
        return f"{organization} is removed from {due_at:%Y-%m-%d %H:%M} UTC on", {
            "due_at": due_at.isoformat()
        }

    def _remove(self, organization: UUID) -> dict[str, int]:
        deletion.make_due(organization)
        try:
            return deletion.remove(organization)
        except (DomainError, Error) as error:
            raise CommandError(f"it is not removed yet, and the worker will try again: {error}") from error
