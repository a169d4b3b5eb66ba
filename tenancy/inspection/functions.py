"""Functions that run with another role's rights, compared with those that the apps declare."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps

from tenancy.database_functions import DatabaseFunction
from tenancy.inspection.findings import SYSTEM_SCHEMA, Finding

FUNCTIONS = f"""
    SELECT p.oid::regprocedure::text, p.proowner::regrole::text, md5(pg_get_functiondef(p.oid))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT {SYSTEM_SCHEMA} AND p.prokind <> 'a' AND (p.prosecdef OR nspname = 'tenancy') ORDER BY 1
"""  # noqa: S608 - its one part is a constant of ours


def declared_functions() -> Iterator[DatabaseFunction]:
    for app in apps.get_app_configs():
        yield from getattr(app, "database_functions", ())


def examine_functions(cursor: Any) -> Iterator[Finding]:
    declared = {function.signature: function for function in declared_functions()}
    cursor.execute(FUNCTIONS, [])
    found = {signature: (owner, md5) for signature, owner, md5 in cursor.fetchall()}
    for signature in found.keys() - declared.keys():
        yield Finding("function_unknown", signature, "is declared nowhere")
    for signature, function in declared.items():
        if signature not in found:
            yield Finding("function_missing", signature, "is missing")
            continue
        owner, md5 = found[signature]
        if owner != function.owner:
            yield Finding("function_owner", signature, f"belongs to {owner}, not to {function.owner}")
        if md5 != function.md5:
            yield Finding("function_altered", signature, f"is not the one declared: its MD5 is {md5}")
