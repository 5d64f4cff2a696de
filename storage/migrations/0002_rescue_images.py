"""Operators mark images that instances are rescued with."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("storage", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="image", name="is_for_rescue",
            field=models.BooleanField(default=False, verbose_name="for rescue",
                                      help_text="Offered first when somebody boots an instance from another image.")),
    ]
