"""Brings the database's copy of the context keys in step with TENANCY_CONTEXT_KEYS."""

from django.conf import settings
from django.db import connections, transaction

TABLE_EXISTS = "SELECT to_regclass('tenancy.context_key') IS NOT NULL"
ADD_KEY = "INSERT INTO tenancy.context_key (id, inner_pad, outer_pad) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING"


def install_context_keys(*, using: str = "owner") -> list[str]:
    """Accept exactly the configured keys; returns their ids, or none before the first migration.

    To rotate: configure `old,new` and migrate; then `new,old` everywhere; then `new` and migrate.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(TABLE_EXISTS)
        if not cursor.fetchone()[0]:
            return []
        keys = settings.TENANCY_CONTEXT_KEYS
        for key in keys:
            cursor.execute(ADD_KEY, [key.id, key.inner_pad, key.outer_pad])
        cursor.execute("DELETE FROM tenancy.context_key WHERE NOT id = ANY(%s)", [[key.id for key in keys]])
    return [key.id for key in keys]
