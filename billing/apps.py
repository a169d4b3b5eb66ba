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
            md5="412e705353a386c8f8ea11c0658767db",
        ),
    )

    def ready(self) -> None:
        from billing.checks import check_billing

        checks.register(check_billing, "settings")
