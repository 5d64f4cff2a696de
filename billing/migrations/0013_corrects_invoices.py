"""Only what forms offer changes; no statement is sent."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0012_counted_once"),
    ]

    operations = [
        migrations.AlterField(
            model_name="invoice",
            name="corrects",
            field=models.ForeignKey(
                limit_choices_to={"kind": "invoice"}, null=True, on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_notes", to="billing.invoice", verbose_name="takes back part of"),
        ),
    ]
