from django.db import migrations, models
from django.db.models.functions import Reverse

from tenancy.database_functions import create_lookup


def _lookup(condition: str) -> str:
    body = f"SELECT organization_id FROM public.billing_customer WHERE {condition}"
    return "DROP FUNCTION tenancy.organization_for_stripe_customer(text);" + create_lookup(
        "organization_for_stripe_customer", "customer text", "uuid", body, executor="saas_app"
    )


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0003_seen_by_support'),
        ('tenancy', '0010_unique_by_reverse'),
    ]

    operations = [
        migrations.AlterField(
            model_name='customer',
            name='stripe_id',
            field=models.CharField(max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name='stripeevent',
            name='stripe_id',
            field=models.CharField(max_length=255),
        ),
        migrations.AlterField(
            model_name='subscription',
            name='stripe_id',
            field=models.CharField(max_length=255),
        ),
        migrations.AddIndex(
            model_name='stripeevent',
            index=models.Index(fields=['organization', 'stripe_id'], name='event_by_stripe_id'),
        ),
        migrations.AddConstraint(
            model_name='customer',
            constraint=models.UniqueConstraint(Reverse('stripe_id'), name='customer_once'),
        ),
        migrations.AddConstraint(
            model_name='stripeevent',
            constraint=models.UniqueConstraint(Reverse('stripe_id'), name='event_once'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.UniqueConstraint(Reverse('stripe_id'), name='subscription_once'),
        ),
        migrations.RunSQL(_lookup("reverse(stripe_id) = reverse(customer)"), _lookup("stripe_id = customer")),
    ]
