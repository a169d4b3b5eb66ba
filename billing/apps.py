from django.apps import AppConfig
from django.core import checks


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing.checks import check_billing

        checks.register(check_billing, "settings")
