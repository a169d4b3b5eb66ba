from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.keys import KeyRefused, key_directory
from saas.kit import clock


class Command(BaseCommand):
    help = "Makes and rotates the keys that sign tokens: generate, wait until readers know it, activate, later retire."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True)
        generate = commands.add_parser(
            "generate", help="make a key and publish it in the JWKS; the first one signs"
        )
        generate.add_argument("--if-missing", action="store_true", help="do nothing if there is a key")
        commands.add_parser("activate", help="sign with this key from now on").add_argument("kid")
        retire = commands.add_parser("retire", help="forget a key whose tokens have all run out")
        retire.add_argument("kid")
        retire.add_argument("--force", action="store_true", help="log out whoever still has a token of it")
        commands.add_parser("list", help="show the keys and their states")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            getattr(self, action)(**options)
        except KeyRefused as error:
            raise CommandError(str(error)) from error

    def generate(self, *, if_missing: bool, **options: Any) -> None:
        if if_missing and (key_directory().path / "keys.json").exists():
            return
        record = key_directory().generate()
        self.stdout.write(f"{record.kid} {record.state}")

    def activate(self, *, kid: str, **options: Any) -> None:
        key_directory().activate(kid)
        self.stdout.write(f"{kid} active")

    def retire(self, *, kid: str, force: bool, **options: Any) -> None:
        key_directory().retire(kid, force=force)
        self.stdout.write(f"{kid} retired")

    def list(self, **options: Any) -> None:
        for record in key_directory().ring().records.values():
            made = clock.from_timestamp(record.created_at).isoformat(timespec="seconds")
            self.stdout.write(f"{record.kid}  {record.state:<9}  made {made}")
