"""Which database role a query runs as: `default` unless the caller is support staff; migrations as the owner alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS

_alias: ContextVar[str] = ContextVar("database_role", default=DEFAULT_DB_ALIAS)


@contextmanager
def as_role(alias: str) -> Iterator[None]:
    """Run the ORM's queries over another alias: `support` for the admin site, `worker` for pruning."""
    token = _alias.set(alias)
    try:
        yield
    finally:
        _alias.reset(token)


class RoleRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias.get()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return _alias.get()

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"
