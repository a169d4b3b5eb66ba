"""The planner's statistics are made of values, and EXPLAIN's estimates tell of them, whoever's they are.

So none are kept of what an organization writes: of ids, times and booleans alone. Queries are led by the organization,
so that plans don't need more.
"""

from typing import Any

from django.db import connections

# (table or index, column, its number in the index or null): what saas_app may ask about, and ANALYZE would sample.
SAMPLED = """
    SELECT r.oid::regclass::text, a.attname, CASE WHEN r.relkind = 'i' THEN a.attnum END
    FROM pg_class c
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indexprs IS NOT NULL
    JOIN pg_class r ON r.oid IN (c.oid, i.indexrelid)
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND has_any_column_privilege('saas_app', c.oid, 'SELECT')
    AND (r.relkind IN ('r', 'p') OR i.indkey[a.attnum - 1] = 0)
    AND a.atttypid NOT IN ('uuid'::regtype, 'boolean'::regtype, 'timestamptz'::regtype, 'date'::regtype)
    AND coalesce(a.attstattarget, -1) <> 0
    GROUP BY 1, 2, 3 ORDER BY 1, 2
"""
STOP = f"""
    DO $$
    DECLARE
        name text; "column" text; number integer;
    BEGIN
        FOR name, "column", number IN {SAMPLED} LOOP
            IF number IS NULL THEN
                EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', name, "column");
            ELSE
                EXECUTE format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS 0', name, number);
            END IF;
        END LOOP;
    END $$
"""


def sampled_columns(cursor: Any) -> list[tuple[str, str]]:
    """(table or index, column) of which statistics are kept that would tell of values."""
    cursor.execute(SAMPLED)
    return [(name, column) for name, column, _ in cursor.fetchall()]


def stop_sampling(*, using: str) -> None:
    """Run after migrations, for the columns that they made; as the tables' owner."""
    with connections[using].cursor() as cursor:
        cursor.execute(STOP)
