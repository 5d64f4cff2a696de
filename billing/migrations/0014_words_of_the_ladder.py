from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_corrects_invoices")]

    operations = [
        migrations.AlterField(
            model_name="issuer", name="recycle_days",
            field=models.PositiveSmallIntegerField(default=40, verbose_name="days overdue: instances go to the recycle bin")),
    ]
