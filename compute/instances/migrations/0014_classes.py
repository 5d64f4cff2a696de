from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0013_serial")]
    operations: list = []
