import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import IntegrityError

from accounts.models import User
from accounts.passwords import check_new_password, hash_password
from saas.kit.errors import ValidationFailed
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID


class Command(BaseCommand):
    help = "Makes a member of the support staff. Asks for the password, or reads it from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is no email address") from error
        try:
            check_new_password(password, email=email, name=name, organization_name="Support")
        except ValidationFailed as error:
            raise CommandError("; ".join(each["detail"] for each in error.extra["errors"])) from error
        encoded = hash_password(password)
        try:
            with org_context(SUPPORT_ORGANIZATION_ID):
                User.objects.create(email=email, name=name, password=encoded, is_staff=True)
        except IntegrityError as error:
            raise CommandError(f"an account with the address {email} exists already") from error
        self.stdout.write(f"{email} is a member of the support staff")
