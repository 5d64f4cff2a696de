"""Nothing asked whether an organization pays in advance, and no invoice is sent to the address: it stands on it."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("billing", "0006_counters")]

    operations = [
        migrations.RemoveField("billingprofile", "is_prepaid"),
        migrations.AlterField("billingprofile", "email", models.EmailField(
            blank=True, max_length=254, verbose_name="e-mail on the invoice")),
    ]
