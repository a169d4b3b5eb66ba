"""Queries run as the app role; migrations as the owner alone."""

from typing import Any


class RoleRouter:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"
