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
            md5="155e0f7485d382f431d4bcca4cdbdc04",
        ),
        DatabaseFunction(
            "tenancy.begin_look(uuid,uuid,text)",
            owner="saas_owner",
            executors=("saas_support",),
            md5="43bd39ce9a8217c77a32e1f9dd38e3db",
        ),
        DatabaseFunction(
            "tenancy.look_lasts(uuid,uuid)",
            owner="saas_owner",
            executors=("saas_app",),
            md5="ad4469f2b467cf44bf7ab537f2db2cf1",
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
