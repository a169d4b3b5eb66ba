from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from billing.selectors import organizations_with_customers
from billing.services.reconciliation import Drift, reconcile_all


class Command(BaseCommand):
    help = "Compares subscriptions with Stripe's, where the truth is; exit 1 if one differs or can't be compared."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", type=UUID, metavar="UUID", help="this organization alone")
        parser.add_argument(
            "--fix", action="store_true", help="make ours like Stripe's; then exit 0 if nothing is left"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        organizations = [options["org"]] if options["org"] else organizations_with_customers()
        differences = failures = left = 0
        for found in reconcile_all(organizations, fix=options["fix"]):
            self.stdout.write(str(found))
            if isinstance(found, Drift):
                differences += 1
                left += not found.is_mended
            else:
                failures += 1
        self.stdout.write(f"{len(organizations)} organizations compared, {differences} differences")
        if failures:
            raise CommandError(f"{failures} of them could not be compared; the lines above say why")
        if left and options["fix"]:
            raise CommandError(f"{left} differences are left to mend by hand; the lines above say how")
        if left:
            raise CommandError("run it with --fix to make ours like Stripe's")
