"""Operators' list of all resources is read off an index."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("kernel", "0009_audit_names_that_can_be_erased")]

    operations = [
        migrations.AddIndex("resource", models.Index(
            fields=["-created_at", "-id"], condition=models.Q(deleted_at=None), name="resource_newest_of_all")),
    ]
