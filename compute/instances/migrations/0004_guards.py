"""Locks, termination protection and schedules."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("instances", "0003_paused_suspended_recycled")]
    operations = []
