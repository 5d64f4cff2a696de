from django.db import migrations, models


class Migration(migrations.Migration):
    """What guests do that no state tells, and what is done to those that hang."""

    dependencies = [("instances", "0012_guest_agent")]
    operations = [
        migrations.AddField(model_name="instance", name="rebooted_at",
                            field=models.DateTimeField(null=True, verbose_name="restarted by itself")),
        migrations.AddField(
            model_name="instance", name="watchdog",
            field=models.CharField(choices=[("off", "it has none"), ("none", "only tell"), ("reset", "restart it"),
                                            ("poweroff", "switch it off"), ("pause", "pause it")],
                                   db_default="off", default="off", max_length=16, verbose_name="watchdog",
                                   help_text="What is done when its guest hangs.")),
        migrations.AddField(model_name="instance", name="watchdog_fired_at",
                            field=models.DateTimeField(null=True, verbose_name="its watchdog was not fed")),
    ]
