from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0015_guest_agent")]
    operations: list = []
