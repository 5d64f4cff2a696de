"""Resize."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0005_rescue_and_rebuild")]
    operations = []
