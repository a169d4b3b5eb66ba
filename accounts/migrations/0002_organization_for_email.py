from django.db import migrations

# Before there is a context, log-in needs to know whose fence to enter; the function tells that and nothing else.
CREATE = """
CREATE FUNCTION tenancy.organization_for_email(address text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT organization_id FROM public.accounts_user WHERE email_key = lower(address)
$$;
REVOKE ALL ON FUNCTION tenancy.organization_for_email(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.organization_for_email(text) TO saas_app;
GRANT CREATE ON SCHEMA tenancy TO saas_lookup;
ALTER FUNCTION tenancy.organization_for_email(text) OWNER TO saas_lookup;
REVOKE CREATE ON SCHEMA tenancy FROM saas_lookup;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION tenancy.organization_for_email(text)"),
    ]
