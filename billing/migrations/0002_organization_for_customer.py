from django.db import migrations

# Before there is a context, the webhook and the worker need to know whose customer an event is about.
CREATE = """
CREATE FUNCTION tenancy.organization_for_stripe_customer(customer text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT organization_id FROM public.billing_customer WHERE stripe_id = customer
$$;
REVOKE ALL ON FUNCTION tenancy.organization_for_stripe_customer(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.organization_for_stripe_customer(text) TO saas_app;
GRANT CREATE ON SCHEMA tenancy TO saas_lookup;
ALTER FUNCTION tenancy.organization_for_stripe_customer(text) OWNER TO saas_lookup;
REVOKE CREATE ON SCHEMA tenancy FROM saas_lookup;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION tenancy.organization_for_stripe_customer(text)"),
    ]
