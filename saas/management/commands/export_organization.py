import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from saas.operations.commands import refusals
from saas.operations.export import export_organization


class Command(BaseCommand):
    help = "Writes all rows of one organization to a JSON file, without passwords and other secrets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", type=UUID, help="its id")
        parser.add_argument("file", type=Path, help="a file that is not there yet")
        parser.add_argument("--json", action="store_true", help="print the numbers of rows for a script")

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals():
            counts = export_organization(options["organization"], options["file"])
        if options["json"]:
            self.stdout.write(json.dumps(counts))
        else:
            self.stdout.write(f"{options['file']}: {sum(counts.values())} rows of {len(counts)} tables")
