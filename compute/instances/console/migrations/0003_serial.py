from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("console", "0002_serial_and_sharing")]
    operations: list = [
        migrations.AddField(
            model_name="consoleticket",
            name="takes_over",
            field=models.BooleanField(default=False, editable=False, help_text="The serial line is taken from whoever has it on the host.", verbose_name="takes over"),
        ),
        migrations.AlterField(
            model_name="consoleticket",
            name="type",
            field=models.CharField(choices=[("vnc", "Screen"), ("serial", "Serial console")], default="vnc", max_length=10, verbose_name="type"),
        ),
    ]
