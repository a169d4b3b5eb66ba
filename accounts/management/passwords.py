"""A staff member's password, asked for at a terminal or read from standard input; no command line shows one."""

import getpass
import sys

from django.core.management.base import CommandError

from accounts.passwords import check_new_password
from saas.kit.errors import ValidationFailed


def asked_password(*, email: str, name: str = "") -> str:
    """Raises CommandError, with what is wrong with it."""
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        check_new_password(password, email=email, name=name, organization_name="Support")
    except ValidationFailed as error:
        raise CommandError("; ".join(each["detail"] for each in error.extra["errors"])) from error
    return password
