from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from saas.kit.errors import NotFound
from support.services.second_factor import reset_second_factor


class Command(BaseCommand):
    help = "Takes a staff member's second factor away, so that the next log-in enrols a new one; ends their sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        try:
            reset_second_factor(email=email)
        except NotFound as error:
            raise CommandError(f"there is no staff member {email}") from error
        self.stdout.write(f"{email} enrols a new second factor at the next log-in")
