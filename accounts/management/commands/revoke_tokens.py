from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Session, User
from accounts.selectors import organization_of_email
from accounts.services.sessions import revoke_sessions
from tenancy.context import org_context
from tenancy.models import Organization
from tenancy.selectors import organization_ids


class Command(BaseCommand):
    help = "Ends sessions at once, and with them every token: of a user, of an organization, or of all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--user", metavar="EMAIL")
        target.add_argument("--organization", metavar="UUID", type=UUID)
        target.add_argument("--all", action="store_true")
        parser.add_argument("--dry-run", action="store_true", help="count them only")

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for number, organization_id in enumerate(self._organizations(options), 1):
            with org_context(organization_id):
                count += self._revoke(options["user"], dry_run=options["dry_run"])
            if number % 1000 == 0:
                self.stderr.write(f"{number} organizations done")
        self.stdout.write(f"{count} sessions {'would be ' if options['dry_run'] else ''}ended")

    def _organizations(self, options: dict[str, Any]) -> Iterator[UUID]:
        if options["all"]:
            yield from organization_ids()
        elif options["organization"]:
            with org_context(options["organization"]):
                if not Organization.objects.exists():
                    raise CommandError(f"there is no organization {options['organization']}")
            yield options["organization"]
        else:
            organization_id = organization_of_email(options["user"])
            if organization_id is None:
                raise CommandError(f"there is no user {options['user']}")
            yield organization_id

    def _revoke(self, email: str | None, *, dry_run: bool) -> int:
        sessions = Session.objects.filter(revoked_at=None)
        if email:
            sessions = sessions.filter(user=User.objects.get_by_natural_key(email))
        return sessions.count() if dry_run else len(revoke_sessions(sessions, reason="revoked_by_operations"))
