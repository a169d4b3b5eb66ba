from django.db import migrations, models
from django.db.models.functions import Lower

from tenancy.database_functions import create_lookup
from tenancy.fence import RoleAccess

DROP = "DROP FUNCTION tenancy.organization_for_email(text);"


def _lookup(column: str) -> str:
    body = f"SELECT organization_id FROM public.accounts_user WHERE {column} = lower(address)"
    return DROP + create_lookup("organization_for_email", "address text", "uuid", body, executor="saas_app")


def _access(column: str) -> RoleAccess:
    return RoleAccess(
        name="user_organization_by_email",
        role="saas_lookup",
        command="SELECT",
        columns=(column, "organization_id"),
        rows="true",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_session_of_a_look"),
        ("tenancy", "0010_unique_by_reverse"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="user", name="user_organization_by_email"),
        migrations.AlterField(
            model_name="user",
            name="email_key",
            field=models.GeneratedField(
                db_persist=True, expression=Lower("email"), output_field=models.CharField(max_length=254)
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["organization", "email_key"], name="user_by_email"),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(Lower("email"), name="email_once"),
        ),
        migrations.AddConstraint(model_name="user", constraint=_access("email")),
        migrations.RunSQL(_lookup("lower(email)"), _lookup("email_key")),
    ]
