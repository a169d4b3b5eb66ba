"""The functions that cross the fence, as each app declares them beside its migrations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatabaseFunction:
    """A function in the schema `tenancy`, listed in its app's `AppConfig.database_functions`.

    `md5` is that of pg_get_functiondef(): source, SECURITY DEFINER, search_path and all. `check_isolation`
    says what it is in the database when it differs.
    """

    # As `oid::regprocedure` writes it.
    signature: str
    owner: str
    executors: tuple[str, ...]
    md5: str
