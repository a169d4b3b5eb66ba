from django.apps import AppConfig
from django.core import checks

from tenancy.database_functions import DatabaseFunction


class AccountsConfig(AppConfig):
    name = "accounts"
    database_functions = (
        DatabaseFunction(
            "tenancy.organization_for_email(text)",
            owner="saas_lookup",
            executors=("saas_app",),
            md5="13ab7f3cf574e113f5c762aec6f91d69",
        ),
    )

    def ready(self) -> None:
        from accounts.checks import check_signing_keys

        checks.register(check_signing_keys, "security")
