"""Tables and what could act on their rows behind the policies: views, rules, triggers."""

from collections.abc import Iterator
from typing import Any

from tenancy.inspection.findings import SYSTEM_SCHEMA, Finding
from tenancy.statistics import sampled_columns

TABLES = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND (
        c.relname = 'tenancy_organization' OR EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
        )
    )
"""
# Those of an extension are its own.
VIEWS = f"""
    SELECT nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND NOT {SYSTEM_SCHEMA}
    AND NOT coalesce('security_invoker=true' = ANY(c.reloptions) OR 'security_invoker=on' = ANY(c.reloptions), false)
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""  # noqa: S608 - its one part is a constant of ours
# The queue's triggers are its library's. A key is a trigger too: disabled, it holds nothing.
TRIGGERS = f"""
    SELECT nspname || '.' || c.relname, t.tgname, t.tgenabled <> 'O'
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT {SYSTEM_SCHEMA} AND (t.tgenabled <> 'O' OR NOT t.tgisinternal AND NOT (
        nspname = 'public' AND c.relname LIKE 'procrastinate\\_%%' AND t.tgname LIKE 'procrastinate\\_%%'
    ))
"""  # noqa: S608 - its one part is a constant of ours
RULES = f"""
    SELECT nspname || '.' || c.relname, r.rulename
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT {SYSTEM_SCHEMA} AND c.relkind IN ('r', 'p')
"""  # noqa: S608 - its one part is a constant of ours


def tenant_tables(cursor: Any) -> set[str]:
    cursor.execute(TABLES)
    return {row[0] for row in cursor.fetchall()} - {"tenancy_organization"}


def examine_tables(cursor: Any) -> Iterator[Finding]:
    cursor.execute(TABLES)
    for table, enabled, forced in cursor.fetchall():
        if not enabled:
            yield Finding("rls_disabled", table, "row-level security is not enabled")
        if not forced:
            yield Finding("rls_not_forced", table, "row-level security is not forced on its owner")
    cursor.execute(VIEWS, [])
    for (view,) in cursor.fetchall():
        yield Finding("view_not_invoker", view, "runs with its owner's rights: set security_invoker")
    cursor.execute(TRIGGERS, [])
    for table, trigger, is_disabled in cursor.fetchall():
        code, what = (
            ("trigger_disabled", "not on") if is_disabled else ("trigger_unknown", "declared nowhere")
        )
        yield Finding(code, table, f"trigger {trigger} is {what}")
    cursor.execute(RULES, [])
    for table, rule in cursor.fetchall():
        yield Finding("rule_unknown", table, f"rule {rule} is declared nowhere")
    for name, column in sampled_columns(cursor):
        yield Finding(
            "statistics_kept", name, f"its column {column} has statistics, which tell of values: run migrate"
        )
