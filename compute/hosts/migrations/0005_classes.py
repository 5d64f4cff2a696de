from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("hosts", "0004_host_network_versions_and_fault")]
    operations: list = []
