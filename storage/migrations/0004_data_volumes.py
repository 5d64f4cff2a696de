from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("storage", "0003_from_an_instance")]
    operations: list = []
