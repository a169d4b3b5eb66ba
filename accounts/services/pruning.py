"""Removes sessions that ended 30 days ago, as saas_worker, whose policy shows it no younger ones."""

from django.db import connections

PRUNE = "DELETE FROM accounts_session WHERE coalesce(revoked_at, expires_at) < now() - interval '30 days'"
COUNT = "SELECT count(id) FROM accounts_session"


def prune_sessions() -> int:
    with connections["worker"].cursor() as cursor:
        cursor.execute(PRUNE)
        return int(cursor.rowcount)


def prunable_sessions() -> int:
    with connections["worker"].cursor() as cursor:
        cursor.execute(COUNT)
        count: int = cursor.fetchone()[0]
    return count
