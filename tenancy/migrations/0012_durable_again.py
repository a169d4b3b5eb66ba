from django.db import migrations

# As in 0009_set_context; new is that what is acknowledged is on the disk, whatever SQL has set on the connection.
FUNCTION = """
CREATE OR REPLACE FUNCTION tenancy.set_context(kind text, subject text, proof text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() AS p WHERE p.from_sql) THEN
        RAISE EXCEPTION 'a statement was planted on this connection'
            USING ERRCODE = 'TN001', DETAIL = pg_catalog.pg_backend_pid()::pg_catalog.text;
    END IF;
    {durable}IF kind OPERATOR(pg_catalog.=) 'staff' THEN
        PERFORM pg_catalog.set_config('app.current_staff', subject, true),
            pg_catalog.set_config('app.current_staff_proof', proof, true);
    ELSE
        PERFORM pg_catalog.set_config('app.current_org_id', subject, true),
            pg_catalog.set_config('app.current_org_proof', proof, true);
    END IF;
END
$$
"""
DURABLE = "RESET synchronous_commit;\n    "


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0011_fences_of_any")]

    operations = [migrations.RunSQL(FUNCTION.format(durable=DURABLE), FUNCTION.format(durable=""))]
