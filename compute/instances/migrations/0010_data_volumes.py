from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0009_power_cause")]
    operations: list = []
