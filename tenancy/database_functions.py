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


def create_lookup(name: str, arguments: str, returns: str, body: str, executor: str) -> str:
    """SQL for a function of `saas_lookup`, which tells what stands before any context and nothing else.

    Its policies (RoleAccess) say which columns it reads; `executor` alone may call it.
    """
    types = ", ".join(argument.split()[1] for argument in arguments.split(", "))
    signature = f"tenancy.{name}({types})"
    return f"""
CREATE FUNCTION tenancy.{name}({arguments}) RETURNS {returns}
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    {body}
$$;
REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {signature} TO {executor};
GRANT CREATE ON SCHEMA tenancy TO saas_lookup;
ALTER FUNCTION {signature} OWNER TO saas_lookup;
REVOKE CREATE ON SCHEMA tenancy FROM saas_lookup;
"""
