"""An index by time on the divided tables, which their partitions get with them, those of later too."""
from django.contrib.postgres.indexes import BrinIndex
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]
    operations = [
        migrations.AddIndex(model_name=name, index=BrinIndex(autosummarize=True, fields=["at"], name=f"monitoring_{name}_at"))
        for name in ("sample", "minute", "hour", "day")]
