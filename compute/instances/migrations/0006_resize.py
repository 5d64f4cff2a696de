"""Instances are resized, and remember how far they can grow while they run: those that run already, not at all."""
from django.db import migrations, models

STATES = [("building", "Building"), ("starting", "Starting"), ("running", "Running"), ("stopping", "Stopping"),
          ("stopped", "Stopped"), ("rebooting", "Rebooting"), ("pausing", "Pausing"), ("paused", "Paused"),
          ("suspending", "Suspending"), ("suspended", "Suspended"), ("resuming", "Resuming"), ("rescuing", "Rescuing"),
          ("rescued", "Rescued"), ("unrescuing", "Leaving rescue"), ("rebuilding", "Rebuilding"), ("resizing", "Resizing"),
          ("recycling", "Recycling"), ("recycled", "Recycled"), ("restoring", "Restoring"), ("error", "Error"),
          ("deleting", "Deleting"), ("deleted", "Deleted")]
NAMES = [name for name, _label in STATES]
HELP = "How far it can grow while it runs; 0: not at all."


class Migration(migrations.Migration):
    dependencies = [("instances", "0005_rescue_and_rebuild")]

    operations = [
        migrations.AddField(model_name="instance", name="max_vcpus",
                            field=models.PositiveIntegerField(default=0, help_text=HELP)),
        migrations.AddField(model_name="instance", name="max_memory_mib",
                            field=models.PositiveIntegerField(default=0, help_text=HELP)),
        migrations.AlterField(
            model_name="instance", name="state",
            field=models.CharField(choices=STATES, default="building", max_length=16, verbose_name="state")),
        migrations.RemoveConstraint(model_name="instance", name="instance_state_known"),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(condition=models.Q(state__in=NAMES), name="instance_state_known")),
    ]
