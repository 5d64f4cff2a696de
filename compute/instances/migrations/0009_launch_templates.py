from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0008_clone")]
    operations = []
