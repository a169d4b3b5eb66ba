from django.apps import AppConfig
from django.core import checks
from django.db.backends.signals import connection_created


class TenancyConfig(AppConfig):
    name = "tenancy"

    def ready(self) -> None:
        from tenancy import mail_tracking  # noqa: F401  (hears the mail provider's reports)
        from tenancy.checks import check_tasks, check_tenant_models
        from tenancy.database import refuse_unsafe_role

        checks.register(check_tenant_models, "tenancy")
        checks.register(check_tasks, "tenancy")
        connection_created.connect(refuse_unsafe_role, dispatch_uid="tenancy.refuse_unsafe_role")
