from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.selectors import organization_of_email
from accounts.services.registration import register_owner
from accounts.services.sessions import Device

EMAIL = "demo@example.com"
PASSWORD = "correct-horse-demo"  # noqa: S105 - of the demo, which development alone can make


class Command(BaseCommand):
    help = "Makes a demo organization to log in to, if it isn't there. Development only."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.IS_DEVELOPMENT:
            raise CommandError(
                "seed_demo makes an account with a known password: it works in development only"
            )
        if organization_of_email(EMAIL) is None:
            register_owner(
                email=EMAIL,
                password=PASSWORD,
                organization_name="Demo",
                name="Dana Demo",
                device=Device(ip=None, user_agent="seed_demo"),
            )
        self.stdout.write(f"{EMAIL} / {PASSWORD}")
