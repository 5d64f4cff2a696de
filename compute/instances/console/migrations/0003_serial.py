from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("console", "0002_serial_and_sharing")]
    operations: list = []
