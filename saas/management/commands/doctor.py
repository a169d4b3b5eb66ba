import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from saas.operations.doctor import examine


class Command(BaseCommand):
    help = "Says in a line each how settings, databases, Redis, Stripe, mail, keys, clock and worker are; exit 1 on trouble."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list that a script can read")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in examine():
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(str(finding))
        if options["json"]:
            self.stdout.write(json.dumps([finding._asdict() for finding in findings]))
        troubles = [finding.name for finding in findings if finding.state == "trouble"]
        if troubles:
            raise CommandError(f"trouble with {', '.join(troubles)}")
