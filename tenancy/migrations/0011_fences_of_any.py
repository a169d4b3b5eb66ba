from django.db import migrations

# Fences that were made before, of whatever app, as a new one is written: see tenancy.fence.IN_FORCE.
REWRITE = """
DO $$
DECLARE
    fence record;
BEGIN
    FOR fence IN
        SELECT p.polrelid::regclass AS name, p.polname, p.polwithcheck IS NOT NULL AS is_written, a.attname
        FROM pg_policy p
        JOIN pg_attribute a ON a.attrelid = p.polrelid AND a.attname IN ('id', 'organization_id') AND pg_get_expr(
            p.polqual, p.polrelid
        ) = format('(%s = ( SELECT tenancy.current_org() AS current_org))', a.attname)
    LOOP
        EXECUTE format(
            'ALTER POLICY %1$I ON %2$s USING (%3$I = ANY (ARRAY[(SELECT tenancy.current_org())]))',
            fence.polname, fence.name, fence.attname
        ) || CASE WHEN fence.is_written THEN format(
            ' WITH CHECK (%1$I = ANY (ARRAY[(SELECT tenancy.current_org())]))', fence.attname
        ) ELSE '' END;
    END LOOP;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0010_unique_by_reverse")]

    operations = [migrations.RunSQL(REWRITE, migrations.RunSQL.noop)]
