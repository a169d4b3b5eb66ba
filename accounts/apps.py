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
            md5="01afa85433a20eee2dd807e5329412b6",
        ),
    )

    def ready(self) -> None:
        from accounts.checks import check_signing_keys

        checks.register(check_signing_keys, "security")
