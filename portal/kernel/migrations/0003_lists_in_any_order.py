"""Indexes that let lists be read in either order from any cursor, by state and by tag."""
import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("kernel", "0002_initial")]

    operations = [
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["-created_at", "-id"], name="operation_newest"),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["state", "-created_at", "-id"], name="operation_by_state"),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["kind", "-created_at", "-id"], name="resource_newest",
                               condition=models.Q(("deleted_at", None))),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["kind", "name", "id"], name="resource_by_name",
                               condition=models.Q(("deleted_at", None))),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="resource_tags"),
        ),
    ]
