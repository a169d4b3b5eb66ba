from django.apps import AppConfig
from django.core import checks

from tenancy.database_functions import DatabaseFunction


class BillingConfig(AppConfig):
    name = "billing"
    database_functions = (
        DatabaseFunction(
            "tenancy.organization_for_stripe_customer(text)",
            owner="saas_lookup",
            executors=("saas_app",),
            md5="bc8f4ae86e0f84d034bac99317a0bfa0",
        ),
    )

    def ready(self) -> None:
        from billing.checks import check_billing

        checks.register(check_billing, "settings")
