from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts.services.pruning import prunable_sessions, prune_sessions


class Command(BaseCommand):
    help = "Removes sessions that ended more than 30 days ago."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count them only")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self.stdout.write(f"{prunable_sessions()} sessions would be removed")
        else:
            self.stdout.write(f"{prune_sessions()} sessions removed")
