from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_names_on_invoices")]
    operations = []
