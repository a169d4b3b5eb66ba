"""Queries run as the app role, those of the admin as the support role; migrations as the owner alone."""

from typing import Any

from tenancy.staff import SUPPORT_ALIAS, is_staff_in_force


class RoleRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return SUPPORT_ALIAS if is_staff_in_force() else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return self.db_for_read(model, **hints)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"
