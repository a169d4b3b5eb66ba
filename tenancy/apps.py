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
            "tenancy.set_context(text,text,text)",
            owner="saas_owner",
            executors=("saas_app", "saas_support"),
            md5="1771434d706e3fd37d81aae21f4b12af",
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
        DatabaseFunction(
            "tenancy.rows_of_organization(uuid)",
            owner="saas_owner",
            executors=("saas_worker",),
            md5="71ae29e6ef5959d665015b4389ab01f8",
        ),
        DatabaseFunction(
            "tenancy.finish_organization_removal(uuid,jsonb)",
            owner="saas_owner",
            executors=("saas_worker",),
            md5="409ad3e6d272237352c9b88617001b43",
        ),
        DatabaseFunction(
            "tenancy.current_staff()",
            owner="saas_owner",
            executors=("saas_support",),
            md5="82b875477170a971c641a1b9059f6e29",
        ),
        DatabaseFunction(
            "tenancy.says_something(text)",
            owner="saas_owner",
            executors=(),
            md5="17fc762969771f63dc5192b8a8e8081b",
        ),
        DatabaseFunction(
            "tenancy.opened_organizations()",
            owner="saas_owner",
            executors=("saas_support",),
            md5="72259882e94aa8be81b68bb6db810ca8",
        ),
        DatabaseFunction(
            "tenancy.write_support_audit(text,uuid,text,text,jsonb)",
            owner="saas_owner",
            executors=("saas_lookup",),
            md5="cf490760b1234facd907d3a98b4a28d4",
        ),
        DatabaseFunction(
            "tenancy.open_support_access(uuid,text)",
            owner="saas_owner",
            executors=("saas_support",),
            md5="d8d8ddb554242df34a46240e386e1bed",
        ),
        DatabaseFunction(
            "tenancy.defer_support_action(uuid,text,jsonb,text)",
            owner="saas_owner",
            executors=("saas_support",),
            md5="8d9c8884ec5d11db180efcf11853d448",
        ),
    )

    def ready(self) -> None:
        from tenancy import mail_tracking  # noqa: F401  (hears the mail provider's reports)
        from tenancy.checks import check_tasks, check_tenant_models
        from tenancy.database import refuse_unsafe_role

        checks.register(check_tenant_models, "tenancy")
        checks.register(check_tasks, "tenancy")
        connection_created.connect(refuse_unsafe_role, dispatch_uid="tenancy.refuse_unsafe_role")
