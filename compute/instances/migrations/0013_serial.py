from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0012_snapshots")]
    operations: list = []
