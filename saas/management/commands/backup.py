import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from saas.operations.backup import back_up
from saas.operations.commands import refusals


class Command(BaseCommand):
    help = "Saves the whole database as saas_owner, and proves it by restoring it into a scratch database."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="where the dump and its manifest go")
        parser.add_argument("--json", action="store_true", help="print what a script can read")

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals():
            dump, manifest = back_up(options["directory"])
        if options["json"]:
            facts = {"dump": str(dump), "bytes": manifest.bytes, "rows": manifest.rows}
            self.stdout.write(
                json.dumps({**facts, "tables": len(manifest.tables), "sha256": manifest.sha256})
            )
        else:
            self.stdout.write(
                f"{dump}: {manifest.rows} rows of {len(manifest.tables)} tables, restored and compared"
            )
