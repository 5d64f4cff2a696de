"""Until when a person has read what became of their operations."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="notifications_seen_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
