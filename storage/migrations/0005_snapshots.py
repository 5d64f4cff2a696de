from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("storage", "0004_data_volumes")]
    operations: list = []
