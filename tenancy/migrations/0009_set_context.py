from django.db import migrations

FUNCTION = """
-- Names the organization (or, of kind `staff`, the staff member) that this transaction is for, with the proof.
--
-- Everybody may PREPARE: SQL injected earlier may have put a statement of its own behind a name that the client uses, to
-- run in the next organization's context. The client's own are not from SQL. Then this is an error, so that what was sent
-- behind it does not run either; its DETAIL is the server process, which is to be ended.
--
-- Without SET search_path, since leaving such a function costs more than all that it does: everything is written out.
CREATE FUNCTION tenancy.set_context(kind text, subject text, proof text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() AS p WHERE p.from_sql) THEN
        RAISE EXCEPTION 'a statement was planted on this connection'
            USING ERRCODE = 'TN001', DETAIL = pg_catalog.pg_backend_pid()::pg_catalog.text;
    END IF;
    IF kind OPERATOR(pg_catalog.=) 'staff' THEN
        PERFORM pg_catalog.set_config('app.current_staff', subject, true),
            pg_catalog.set_config('app.current_staff_proof', proof, true);
    ELSE
        PERFORM pg_catalog.set_config('app.current_org_id', subject, true),
            pg_catalog.set_config('app.current_org_proof', proof, true);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION tenancy.set_context(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.set_context(text, text, text) TO saas_app, saas_support;
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0008_organizationdeletion")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION tenancy.set_context(text, text, text)"),
    ]
