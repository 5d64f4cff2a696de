"""Images are made of instances, and count for what they take in the store: private ones that are there, for their files."""
import django.db.models.deletion
from django.db import migrations, models

COUNT = """
UPDATE storage_image SET store_gib = coalesce(
       (SELECT ceil(sum((part.value ->> 'size')::numeric) / 1073741824) FROM jsonb_each(files) AS part), 0)
 WHERE visibility = 'private' AND state = 'active'
"""


class Migration(migrations.Migration):
    dependencies = [("storage", "0002_rescue_images")]
    operations = [
        migrations.AddField(model_name="image", name="store_gib", field=models.PositiveIntegerField(
            default=0, help_text="What counts of its project's quota: its files, rounded up.")),
        migrations.AddField(model_name="image", name="of_instance", field=models.UUIDField(
            editable=False, null=True, verbose_name="made of instance")),
        migrations.AddField(model_name="image", name="of_image", field=models.ForeignKey(
            editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="storage.image",
            verbose_name="image of that instance")),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
