"""Statistics on what filters by name compare, and an index for operations of a kind.

Without the statistics the planner takes every part of a name for rare and sorts a hundred thousand rows for a page of fifty.
"""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("kernel", "0005_search_by_name")]

    operations = [
        migrations.RunSQL("CREATE STATISTICS resource_upper_name ON (upper(name::text)) FROM kernel_resource",
                          "DROP STATISTICS resource_upper_name"),
        migrations.AddIndex(model_name="operation",
                            index=models.Index(fields=["kind", "-created_at", "-id"], name="operation_by_kind")),
    ]
