from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0014_classes")]
    operations: list = []
