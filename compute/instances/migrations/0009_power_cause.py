from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("instances", "0008_launch_templates")]
    operations = [
        migrations.AddField(
            model_name="instance",
            name="power_cause",
            field=models.CharField(blank=True, choices=[
                ("guest", "The guest did it itself."), ("hand", "Somebody did it on the host."),
                ("crash", "The guest, or the process that ran it, died."),
                ("storage", "The storage of its host is full or faulty. Its operators have to mend it; until then it is not billed."),
                ("watchdog", "The guest did not feed its watchdog.")],
                db_default="", help_text="Why it stopped, paused or started without being asked by us, as far as its host says.",
                max_length=16, verbose_name="why it is so"),
        ),
    ]
