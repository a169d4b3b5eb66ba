"""What an examination finds, and what the models declare."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import apps

from tenancy.bootstrap import LOOKUP, RUNTIME_ROLES

# Every role that must not pass the fence.
FENCED_ROLES = [*RUNTIME_ROLES, LOOKUP]
# PostgreSQL's own schemas; `pg_temp_3` and `pg_toast` are also such.
SYSTEM_SCHEMA = r"(nspname LIKE 'pg\_%%' OR nspname = 'information_schema')"


class Finding(NamedTuple):
    code: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.detail} [{self.code}]"


def declared_constraints() -> Iterator[tuple[Any, Any]]:
    """(model, constraint) of every app."""
    for model in apps.get_models():
        for constraint in model._meta.constraints:
            yield model, constraint
