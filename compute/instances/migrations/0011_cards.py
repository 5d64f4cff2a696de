from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0010_data_volumes")]
    operations: list = []
