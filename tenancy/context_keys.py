"""Brings the database's copy of the context keys in step with TENANCY_CONTEXT_KEYS."""

from django.conf import settings
from django.db import connections, transaction

TABLE_EXISTS = "SELECT to_regclass('tenancy.context_key') IS NOT NULL"
LOCK = "LOCK TABLE tenancy.context_key IN SHARE ROW EXCLUSIVE MODE"
# PostgreSQL can be told to log what statements are given, but never the rows of a COPY.
ADD_KEYS = "COPY tenancy.context_key (id, inner_pad, outer_pad) FROM STDIN"


def install_context_keys(*, using: str = "owner") -> list[str]:
    """Accept exactly the configured keys; returns their ids, or none before the first migration.

    To rotate: configure `old,new` and migrate; then `new,old` everywhere; then `new` and migrate.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(TABLE_EXISTS)
        if not cursor.fetchone()[0]:
            return []
        keys = settings.TENANCY_CONTEXT_KEYS
        cursor.execute(LOCK)
        cursor.execute("SELECT id FROM tenancy.context_key")
        known = {row[0] for row in cursor.fetchall()}
        with cursor.copy(ADD_KEYS) as copy:
            copy.set_types(["text", "bytea", "bytea"])
            for key in keys:
                if key.id not in known:
                    copy.write_row((key.id, key.inner_pad, key.outer_pad))
        cursor.execute("DELETE FROM tenancy.context_key WHERE NOT id = ANY(%s)", [[key.id for key in keys]])
    return [key.id for key in keys]
