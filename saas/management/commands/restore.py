import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from saas.kit.progress import Progress
from saas.operations.commands import refusals
from saas.operations.databases import only_operation
from saas.operations.restore import Restore


class Command(BaseCommand):
    help = "Restores a backup into a new database, proves it, and gives it the name of the old one, which is kept."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dump", type=Path, help="the backup; its manifest lies beside it")
        parser.add_argument("--replace", action="store_true", help="put a database aside that is not empty")
        parser.add_argument(
            "--keep-sessions",
            action="store_true",
            help="keep the sessions that are live in the database put aside, too; without it everybody logs in again",
        )
        parser.add_argument("--dry-run", action="store_true", help="examine the backup only")
        parser.add_argument("--json", action="store_true", help="print what a script can read")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        with refusals(), only_operation() as superuser:
            restore = Restore(
                options["dump"],
                superuser,
                replace=options["replace"],
                keep_sessions=options["keep_sessions"],
            )
            restore.examine()
            if not dry_run:
                with Progress("steps", len(restore.changes)) as progress:
                    for _, step in progress.over(restore.changes):
                        step()
        self._report(restore, dry_run=dry_run, as_json=options["json"])

    def _report(self, restore: Restore, *, dry_run: bool, as_json: bool) -> None:
        facts = {
            "database": restore.target,
            "dry_run": dry_run,
            "made_at": restore.manifest.made_at,
            "rows": restore.manifest.rows,
            "sessions_ended": restore.sessions_ended,
            "put_aside": restore.replaced,
        }
        if as_json:
            self.stdout.write(json.dumps(facts))
            return
        what = "would be restored" if dry_run else "is restored"
        self.stdout.write(f"{restore.target} {what}: {facts['rows']} rows of {facts['made_at']}")
        if restore.replaced:
            self.stdout.write(f"the old one is {restore.replaced}: drop it once it is not needed any more")
