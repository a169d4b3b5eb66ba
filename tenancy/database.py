"""What PostgreSQL says of a connection's role, of the time and of a violated constraint."""

from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections

from saas.kit.postgresql.base import DatabaseWrapper

RUNTIME_ALIASES = {DEFAULT_DB_ALIAS, "worker", "support"}
ROLE_PASSES_FENCE = """
    SELECT r.rolsuper OR r.rolbypassrls OR EXISTS (
        SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace
    ), clock_timestamp() FROM pg_roles r WHERE r.rolname = current_user
"""


class UnsafeDatabaseRole(ImproperlyConfigured):
    pass


def refuse_unsafe_role(sender: Any, connection: DatabaseWrapper, **kwargs: Any) -> None:
    """Refuse each new connection of a runtime alias whose role could look past the fence; ask others for the time."""
    if connection.alias not in RUNTIME_ALIASES:
        return
    with connection.connection.cursor() as cursor:
        passes_fence, now = cursor.execute(ROLE_PASSES_FENCE).fetchone()
    connection.learn_time(now)
    if passes_fence:
        user = connection.settings_dict["USER"]
        connection.close()
        raise UnsafeDatabaseRole(
            f"the database role {user!r} of alias {connection.alias!r} is a superuser, has BYPASSRLS or owns tables: "
            "row-level security would not hold. Use saas_app in DATABASE_URL; saas_owner is for migrations and "
            "belongs into OWNER_DATABASE_URL"
        )


def verify_runtime_role() -> None:
    """Connect as the web's role; raises UnsafeDatabaseRole, or OperationalError if PostgreSQL can't be reached."""
    connections[DEFAULT_DB_ALIAS].ensure_connection()


def database_time() -> float:
    """PostgreSQL's clock, in Unix seconds: one for all processes, whatever became of theirs."""
    connection = cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS])
    [seconds] = connection.fetch_one("SELECT extract(epoch FROM clock_timestamp())::float8", []) or ()
    return cast(float, seconds)


def violated_constraint(error: IntegrityError) -> str | None:
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)
