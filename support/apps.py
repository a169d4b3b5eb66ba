from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig

from tenancy.database_functions import DatabaseFunction


class SupportConfig(AppConfig):
    default = True  # Of the two here.
    name = "support"
    database_functions = (
        DatabaseFunction(
            "tenancy.staff_session(uuid)",
            owner="saas_lookup",
            executors=("saas_support",),
            md5="93ecdceae85775b481705fa2d3ad9c76",
        ),
        DatabaseFunction(
            "tenancy.search_organizations(text,integer)",
            owner="saas_lookup",
            executors=("saas_support",),
            md5="7c2b9b0598355022e0a1b93c79e92b9e",
        ),
        DatabaseFunction(
            "tenancy.begin_look(uuid,uuid,text)",
            owner="saas_owner",
            executors=("saas_support",),
            md5="d114a125b72d7a854ae764ad001c3576",
        ),
        DatabaseFunction(
            "tenancy.look_lasts(uuid,uuid)",
            owner="saas_owner",
            executors=("saas_app",),
            md5="74b32d4291beab05d94fcedfdefcd563",
        ),
        DatabaseFunction(
            "tenancy.end_look(uuid,text)",
            owner="saas_owner",
            executors=("saas_app",),
            md5="1b92bb292cdcb869f34a8802a11d1225",
        ),
    )


class AdminWithoutLog(SimpleAdminConfig):
    """Django's admin for its templates and styles. The database's own log takes the place of its LogEntry."""

    def import_models(self) -> None:
        self.models = apps.all_models[self.label]

    def ready(self) -> None:
        """Its checks ask for middlewares of sessions and log-in, which support.guard does without."""
