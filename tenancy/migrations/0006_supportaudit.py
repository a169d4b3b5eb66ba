import tenancy.fence
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenancy', '0005_current_staff'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SupportAudit',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('staff_id', models.UUIDField()),
                ('staff_email', models.CharField(max_length=254)),
                ('action', models.CharField(max_length=64)),
                ('organization_id', models.UUIDField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('target', models.TextField(blank=True)),
                ('details', models.JSONField(default=dict)),
                ('transaction_number', models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name='organization',
            name='support_allowed',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name='organization',
            name='support_closed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name='organization',
            constraint=tenancy.fence.RoleAccess(columns=('slug', 'name', 'plan', 'access', 'support_allowed'), command='SELECT', name='organization_searched', role='saas_lookup', rows='true'),
        ),
        migrations.AddIndex(
            model_name='supportaudit',
            index=models.Index(fields=['organization_id', 'at', 'id'], name='support_audit_of_organization'),
        ),
        migrations.AddIndex(
            model_name='supportaudit',
            index=models.Index(fields=['staff_id', 'at'], name='support_audit_of_staff'),
        ),
        migrations.AddIndex(
            model_name='supportaudit',
            index=models.Index(fields=['at', 'id'], name='support_audit_by_time'),
        ),
        migrations.AddConstraint(
            model_name='supportaudit',
            constraint=tenancy.fence.Fence(name='support_audit_fence', read_only=True),
        ),
        migrations.AddConstraint(
            model_name='supportaudit',
            constraint=tenancy.fence.RoleAccess(command='SELECT', name='support_audit_seen', role='saas_support', rows='(SELECT tenancy.current_staff()) IS NOT NULL'),
        ),
    ]
