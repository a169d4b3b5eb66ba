from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from saas.kit import environment
from tenancy.bootstrap import OWNER, RUNTIME_ROLES, BootstrapRefused, bootstrap


class Command(BaseCommand):
    help = (
        "Makes the five roles, the database and its grants; safe to run again. Reads a superuser's URL from "
        "BOOTSTRAP_DATABASE_URL, names and passwords from the roles' own URLs."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        url = environment.text("BOOTSTRAP_DATABASE_URL")
        if not url:
            raise CommandError("BOOTSTRAP_DATABASE_URL is not set: give the URL of a PostgreSQL superuser")
        if "owner" not in settings.DATABASES:
            raise CommandError(
                "OWNER_DATABASE_URL is not set: it names the database and saas_owner's password"
            )
        passwords = {}
        for database in settings.DATABASES.values():
            if database["USER"] not in (OWNER, *RUNTIME_ROLES):
                raise CommandError(
                    f"{database['USER']!r} is not one of the platform's roles; see docs/tenancy.md"
                )
            passwords[database["USER"]] = database["PASSWORD"]
        name = settings.DATABASES["owner"]["NAME"]
        try:
            report = bootstrap(url, database=name, passwords=passwords)
        except (BootstrapRefused, psycopg.Error) as error:
            raise CommandError(str(error).strip()) from error
        made = ", ".join(report.created_roles) or "none, all were there"
        self.stdout.write(
            f"roles made: {made}\ndatabase {name}: {'made' if report.created_database else 'was there'}"
        )
