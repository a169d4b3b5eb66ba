from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.management.passwords import asked_password
from accounts.services.staff import deactivate_staff, reactivate_staff, set_staff_password
from saas.kit.errors import NotFound

DONE = {
    "deactivate": "is deactivated; all their sessions, and their looks as customers, have ended",
    "reactivate": "can log in again",
    "password": "has the new password; all their sessions have ended",
}


class Command(BaseCommand):
    help = "Deactivates or reactivates a member of the support staff, or sets their password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=list(DONE))
        parser.add_argument("email")

    def handle(self, *args: Any, what: str, email: str, **options: Any) -> None:
        actions: dict[str, Callable[[], None]] = {
            "deactivate": lambda: deactivate_staff(email=email),
            "reactivate": lambda: reactivate_staff(email=email),
            "password": lambda: set_staff_password(email=email, password=asked_password(email=email)),
        }
        try:
            actions[what]()
        except NotFound as error:
            raise CommandError(f"there is no staff member {email}") from error
        self.stdout.write(f"{email} {DONE[what]}")
