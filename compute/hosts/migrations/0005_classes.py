from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosts", "0004_host_network_versions_and_fault")]
    operations: list = [
        migrations.AddField(
            model_name="host",
            name="traits",
            field=models.JSONField(default=list, editable=False, verbose_name="can give guests", help_text=(
                "Which classes of virtual hardware, beside what every host can give.")),
        ),
    ]
