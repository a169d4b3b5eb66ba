from django.db import migrations, models
from django.db.models.functions import Reverse


class Migration(migrations.Migration):

    dependencies = [
        ('tenancy', '0009_set_context'),
    ]

    operations = [
        migrations.AlterField(
            model_name='organization',
            name='slug',
            field=models.SlugField(db_index=False, max_length=63),
        ),
        migrations.AddConstraint(
            model_name='organization',
            constraint=models.UniqueConstraint(Reverse('slug'), name='slug_once'),
        ),
    ]
