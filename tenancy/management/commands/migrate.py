from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections

from tenancy.context_keys import install_context_keys
from tenancy.statistics import stop_sampling


class Command(MigrateCommand):
    help = f"{MigrateCommand.help} Runs as saas_owner, and installs the context's signing keys."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] not in settings.DATABASES:
            raise CommandError("migrations run as saas_owner: set OWNER_DATABASE_URL")
        with connections[options["database"]].cursor() as cursor:
            cursor.execute(
                "SELECT rolsuper OR rolbypassrls, rolname FROM pg_roles WHERE rolname = current_user"
            )
            passes, role = cursor.fetchone()
        if not passes:
            # Under FORCE it would see no row: a data migration changes nothing, a new key is "valid" over violations.
            raise CommandError(f"{role!r} lacks BYPASSRLS; run `manage.py bootstrap_database` first")
        super().handle(*args, **options)
        if not (options["plan"] or options["check_unapplied"]):
            stop_sampling(using=options["database"])
            installed = install_context_keys(using=options["database"])
            self.stdout.write(f"Context keys accepted: {', '.join(installed)}")
