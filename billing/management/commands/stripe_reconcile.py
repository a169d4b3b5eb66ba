from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from billing.selectors import organizations_with_customers
from billing.services.reconciliation import reconcile
from saas.kit.errors import DomainError


class Command(BaseCommand):
    help = "Compares subscriptions with Stripe's, where the truth is; exit 1 if one differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", type=UUID, metavar="UUID", help="this organization alone")
        parser.add_argument("--fix", action="store_true", help="make ours like Stripe's; then exit 0")

    def handle(self, *args: Any, **options: Any) -> None:
        organizations = [options["org"]] if options["org"] else organizations_with_customers()
        count = 0
        for organization_id in organizations:
            try:
                drifts = reconcile(organization_id, fix=options["fix"])
            except DomainError as error:
                raise CommandError(f"{organization_id}: {error.title}: {error.detail}") from error
            for drift in drifts:
                self.stdout.write(str(drift))
            count += len(drifts)
        self.stdout.write(f"{len(organizations)} organizations compared, {count} differences")
        if count and not options["fix"]:
            raise CommandError("run it with --fix to make ours like Stripe's")
