"""Work of the hub is of no region."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("kernel", "0010_newest_resources_of_all_kinds")]

    operations = [
        migrations.AlterField("operation", "region", models.ForeignKey(
            null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="kernel.region",
            verbose_name="region")),
    ]
