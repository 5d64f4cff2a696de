from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0011_cards")]
    operations: list = []
