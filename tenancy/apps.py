from django.apps import AppConfig
from django.core import checks
from django.db.backends.signals import connection_created

from tenancy.database_functions import DatabaseFunction


class TenancyConfig(AppConfig):
    name = "tenancy"
    database_functions = (
        DatabaseFunction(
            "tenancy.current_org()",
            owner="saas_owner",
            executors=("saas_app",),
            md5="7aa9b3a3e410a13e35b3cb5244ff2d59",
        ),
        DatabaseFunction(
            "tenancy.organization_ids(uuid,integer)",
            owner="saas_lookup",
            executors=("saas_worker",),
            md5="7b397f14e42858f4c88f0121d7069282",
        ),
        DatabaseFunction(
            "tenancy.defer_job(text,text,integer,text,text,jsonb,timestamp with time zone)",
            owner="saas_owner",
            executors=("saas_app",),
            md5="f8d83d0d74c30107ef739eabcebea9e5",
        ),
    )

    def ready(self) -> None:
        from tenancy import mail_tracking  # noqa: F401  (hears the mail provider's reports)
        from tenancy.checks import check_tasks, check_tenant_models
        from tenancy.database import refuse_unsafe_role

        checks.register(check_tenant_models, "tenancy")
        checks.register(check_tasks, "tenancy")
        connection_created.connect(refuse_unsafe_role, dispatch_uid="tenancy.refuse_unsafe_role")
