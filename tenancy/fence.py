"""The fence's SQL, as constraints: the autodetector writes them into migrations like any other schema change."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.constraints import BaseConstraint
from django.db.models.functions import Reverse

APP_ROLE = "saas_app"
# Not `= (SELECT ...)`: PostgreSQL replaces one of two equal things by the other, and so the fence by a comparison with
# what injected SQL says is equal to the column, such as a setting that it changes from row to row.
IN_FORCE = "ANY (ARRAY[(SELECT tenancy.current_org())])"


class DatabaseConstraint(BaseConstraint):
    """A constraint that PostgreSQL alone checks, added by SQL of several statements."""

    def constraint_sql(self, model: Any, schema_editor: Any) -> None:  # type: ignore[override]
        # Part of a CREATE TABLE: run it once every table of the migration is there.
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def create_sql(self, model: Any, schema_editor: Any) -> str:
        raise NotImplementedError

    def remove_sql(self, model: Any, schema_editor: Any) -> str:
        raise NotImplementedError

    def validate(self, model: Any, instance: Any, exclude: Any = None, using: str = "default") -> None:
        """PostgreSQL checks it; a second check here would be a second policy."""


class Fence(DatabaseConstraint):
    """Rows show and change only while their organization is in force, for the table's owner too.

    With `read_only` the app role can't write them at all: functions of the database do.
    """

    def __init__(self, *, name: str, column: str = "organization_id", read_only: bool = False) -> None:
        super().__init__(name=name)
        self.column = column
        self.read_only = read_only

    @property
    def privileges(self) -> tuple[str, ...]:
        return ("SELECT",) if self.read_only else ("SELECT", "INSERT", "UPDATE", "DELETE")

    def create_sql(self, model: Any, schema_editor: Any) -> str:
        table = schema_editor.quote_name(model._meta.db_table)
        return "; ".join(
            [
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
                self.policy_sql(table),
                f"GRANT {', '.join(self.privileges)} ON {table} TO {APP_ROLE}",
                *([] if self.column == "id" or self.read_only else [unique_key_sql(model._meta.db_table)]),
            ]
        )

    def policy_sql(self, table: str) -> str:
        """The policy on a table, whose name is quoted already."""
        mine = f'"{self.column}" = {IN_FORCE}'
        if self.read_only:
            return f'CREATE POLICY "{self.name}" ON {table} FOR SELECT TO {APP_ROLE} USING ({mine})'
        return f'CREATE POLICY "{self.name}" ON {table} TO {APP_ROLE} USING ({mine}) WITH CHECK ({mine})'

    def remove_sql(self, model: Any, schema_editor: Any) -> str:
        table = schema_editor.quote_name(model._meta.db_table)
        return (
            f"REVOKE ALL ON {table} FROM {APP_ROLE}; "
            f"DROP POLICY {schema_editor.quote_name(self.name)} ON {table}; "
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"
        )

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        if self.column != "organization_id":
            kwargs = {**kwargs, "column": self.column}
        return path, args, {**kwargs, "read_only": True} if self.read_only else kwargs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fence) and self.deconstruct() == other.deconstruct()


class TenantReference(DatabaseConstraint):
    """FOREIGN KEY (organization_id, x_id): a plain key ignores row-level security and takes another's row."""

    def __init__(self, *, name: str, field: str, to: str) -> None:
        super().__init__(name=name)
        self.field = field
        self.to = to

    def create_sql(self, model: Any, schema_editor: Any) -> str:
        quote = schema_editor.quote_name
        table, column = model._meta.db_table, model._meta.get_field(self.field).column
        # Whichever of two apps that refer to each other comes first also makes the key it needs.
        return "; ".join(
            [
                unique_key_sql(self.to),
                f"CREATE INDEX IF NOT EXISTS {quote(self.name)} ON {quote(table)} (organization_id, {quote(column)})",
                f"ALTER TABLE {quote(table)} ADD CONSTRAINT {quote(self.name)} "
                f"FOREIGN KEY (organization_id, {quote(column)}) REFERENCES {quote(self.to)} (organization_id, id) "
                "DEFERRABLE INITIALLY DEFERRED",
            ]
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> str:
        quote = schema_editor.quote_name
        return (
            f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)}; "
            f"DROP INDEX {quote(self.name)}"
        )

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "field": self.field, "to": self.to}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TenantReference) and self.deconstruct() == other.deconstruct()


class RoleAccess(DatabaseConstraint):
    """What another role may do across organizations: the columns and rows named here, and no more."""

    def __init__(
        self,
        *,
        name: str,
        role: str,
        command: str,
        rows: str,
        columns: tuple[str, ...] = (),
        new_rows: str = "",
    ) -> None:
        super().__init__(name=name)
        self.role = role
        self.command = command
        self.rows = rows
        self.columns = columns
        # What an updated row must be, where that is not what it was.
        self.new_rows = new_rows

    @property
    def _privilege(self) -> str:
        return f"{self.command} ({', '.join(self.columns)})" if self.columns else self.command

    def create_sql(self, model: Any, schema_editor: Any) -> str:
        table = schema_editor.quote_name(model._meta.db_table)
        return f"GRANT {self._privilege} ON {table} TO {self.role}; {self.policy_sql(table)}"

    def policy_sql(self, table: str) -> str:
        """The policy on a table, whose name is quoted already."""
        policy = f'CREATE POLICY "{self.name}" ON {table} FOR {self.command} TO {self.role}'
        if self.command == "INSERT":
            return f"{policy} WITH CHECK ({self.rows})"
        return f"{policy} USING ({self.rows})" + (f" WITH CHECK ({self.new_rows})" if self.new_rows else "")

    def remove_sql(self, model: Any, schema_editor: Any) -> str:
        table = schema_editor.quote_name(model._meta.db_table)
        drop = f"DROP POLICY {schema_editor.quote_name(self.name)} ON {table}"
        # The app role's right came with the fence, and stays with it.
        return (
            drop if self.role == APP_ROLE else f"{drop}; REVOKE {self._privilege} ON {table} FROM {self.role}"
        )

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        kwargs = {**kwargs, "role": self.role, "command": self.command, "rows": self.rows}
        if self.columns:
            kwargs["columns"] = self.columns
        if self.new_rows:
            kwargs["new_rows"] = self.new_rows
        return path, args, kwargs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RoleAccess) and self.deconstruct() == other.deconstruct()


def unique_everywhere(field: str, *, name: str) -> models.UniqueConstraint:
    """A text that no two organizations share, without an index that tells of others' texts.

    PostgreSQL compares with a plain index before the fence looks, and EXPLAIN ANALYZE counts what it found there:
    injected SQL would read others' texts letter by letter. It doesn't so with what a function makes of the text
    unless the function is leakproof, and reverse() isn't. Find rows of all organizations by
    `reverse(column) = reverse(value)`, one organization's by an index that begins with `organization`.
    https://www.postgresql.org/docs/15/rules-privileges.html
    """
    return models.UniqueConstraint(Reverse(field), name=name)


def unique_key_sql(table: str) -> str:
    """UNIQUE (organization_id, id), unless it is there: what every composite key of the fence points at."""
    name = f"{table}_organization_key"
    return (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = '{name}' "
        f"AND conrelid = '\"{table}\"'::regclass) THEN "
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" UNIQUE (organization_id, id); END IF; END $$'
    )
