from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.services.catalogue import bring_in_step, differences
from saas.kit.errors import DomainError


class Command(BaseCommand):
    help = "Makes or updates the catalogue's products and prices at Stripe; shows first what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show only; exit 1 if something differs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = differences()
            for difference in found:
                self.stdout.write(difference.line)
            if options["dry_run"] and found:
                raise CommandError(f"{len(found)} differences; run it without --dry-run to mend them")
            bring_in_step(found)
        except DomainError as error:
            raise CommandError(
                f"{error.title}: {error.detail} The log above says what Stripe answered."
            ) from error
        self.stdout.write(
            "Stripe has the catalogue." if not found else f"{len(found)} changes made at Stripe."
        )
