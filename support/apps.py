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
            md5="c0612d6a2ce9b92646b42fcd7556b76c",
        ),
    )


class AdminWithoutLog(SimpleAdminConfig):
    """Django's admin for its templates and styles. The database's own log takes the place of its LogEntry."""

    def import_models(self) -> None:
        self.models = apps.all_models[self.label]

    def ready(self) -> None:
        """Its checks ask for middlewares of sessions and log-in, which support.guard does without."""
