from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import IntegrityError

from accounts.management.passwords import asked_password
from accounts.models import User
from accounts.passwords import hash_password
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID


class Command(BaseCommand):
    help = "Makes a member of the support staff. Asks for the password, or reads it from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is no email address") from error
        encoded = hash_password(asked_password(email=email, name=name))
        try:
            with org_context(SUPPORT_ORGANIZATION_ID):
                User.objects.create(email=email, name=name, password=encoded, is_staff=True)
        except IntegrityError as error:
            raise CommandError(f"an account with the address {email} exists already") from error
        self.stdout.write(f"{email} is a member of the support staff")
