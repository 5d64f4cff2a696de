"""Rating asks which kinds of usage there are: an index tells without reading all of it. It serves the region too, which had its own."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_names_given")]
    operations = [
        migrations.AddIndex(model_name="usageinterval",
                            index=models.Index(fields=["region", "meter", "sku"], name="usage_kinds")),
        migrations.AlterField(model_name="usageinterval", name="region", field=models.ForeignKey(
            db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="kernel.region",
            verbose_name="region")),
    ]
