"""Finds the few instances in a rare state without looking at all."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("instances", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="instance",
            index=models.Index(fields=["state"], name="instance_in_state",
                               condition=models.Q(("state", "deleted"), _negated=True)),
        ),
    ]
