from django.db import migrations

from tenancy.database_functions import create_lookup

# Before there is a context, the webhook and the worker need to know whose customer an event is about.
CREATE = create_lookup(
    "organization_for_stripe_customer",
    "customer text",
    "uuid",
    "SELECT organization_id FROM public.billing_customer WHERE stripe_id = customer",
    executor="saas_app",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION tenancy.organization_for_stripe_customer(text)"),
    ]
