from django.apps import AppConfig
from django.core import checks


class SaasConfig(AppConfig):
    name = "saas"

    def ready(self) -> None:
        from saas.checks import SETTINGS, check_settings

        checks.register(check_settings, SETTINGS)
