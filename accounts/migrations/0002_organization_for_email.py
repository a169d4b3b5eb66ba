from django.db import migrations

from tenancy.database_functions import create_lookup

# Before there is a context, log-in needs to know whose fence to enter; the function tells that and nothing else.
CREATE = create_lookup(
    "organization_for_email",
    "address text",
    "uuid",
    "SELECT organization_id FROM public.accounts_user WHERE email_key = lower(address)",
    executor="saas_app",
)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION tenancy.organization_for_email(text)"),
    ]
