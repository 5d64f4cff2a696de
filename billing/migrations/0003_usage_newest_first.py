"""Operators page through everybody's usage, newest first."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("billing", "0002_credit")]

    operations = [
        migrations.AddIndex(model_name="usageinterval",
                            index=models.Index(fields=["-start", "-id"], name="usage_newest")),
    ]
