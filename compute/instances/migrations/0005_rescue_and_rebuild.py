"""Rescue and rebuild."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0004_guards")]
    operations = []
