import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenancy.inspection import inspect_isolation
from tenancy.inspection.restoring import restore_policies


class Command(BaseCommand):
    help = "Examines the live database as saas_owner: roles, policies, keys, grants, views. Exits 1 if the fence has a hole."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list that a script can read")
        parser.add_argument(
            "--restore-policies", action="store_true", help="first make policies again that are missing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if "owner" not in settings.DATABASES:
            raise CommandError(
                "OWNER_DATABASE_URL is not set: only the owner sees every row that a key may violate"
            )
        for line in restore_policies() if options["restore_policies"] else []:
            self.stderr.write(line)
        findings = inspect_isolation()
        if options["json"]:
            self.stdout.write(json.dumps([finding._asdict() for finding in findings]))
        for finding in [] if options["json"] else findings:
            self.stdout.write(str(finding))
        if findings:
            raise CommandError(f"{len(findings)} holes in the fence")
        if not options["json"]:
            self.stdout.write("The fence is whole.")
