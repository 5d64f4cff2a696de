"""Indexes for the search over all kinds, for how long operations take, and for the bell."""
import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("kernel", "0004_portal_state_and_audit_that_outlives_operations")]

    operations = [
        TrigramExtension(),
        migrations.AddIndex(
            model_name="resource",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper("name"), name="gin_trgm_ops"),
                name="resource_name_parts", condition=models.Q(("deleted_at", None))),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["kind", "-finished_at"], name="operation_durations",
                               condition=models.Q(("state", "succeeded"))),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["-finished_at"], name="operation_failures", condition=models.Q(("state", "failed"))),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["actor", "-finished_at"], name="operation_of_actor",
                               condition=models.Q(("finished_at__isnull", False))),
        ),
    ]
