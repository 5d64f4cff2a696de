"""Lines and charges keep the names that they were issued under: room for them.

What was issued before gets its names in the next migration, in a transaction of its own: adding columns locks reads out, for a
moment alone.
"""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_finance")]
    operations = [
        migrations.AddField("invoiceline", "project_name", models.CharField(
            "name of the project", max_length=100, blank=True, db_default="")),
        migrations.AddField("invoiceline", "region_name", models.CharField(
            "name of the region", max_length=80, blank=True, db_default="")),
        migrations.AddField("charge", "resource_name", models.CharField(
            "name of the resource", max_length=100, blank=True, db_default="")),
        migrations.AddField("charge", "resource_tags", models.JSONField("tags of the resource", null=True)),
    ]
