"""Disks of instances are copied, into an image or for another instance."""
from django.db import migrations, models

STATES = [("building", "Building"), ("starting", "Starting"), ("running", "Running"), ("stopping", "Stopping"),
          ("stopped", "Stopped"), ("rebooting", "Rebooting"), ("pausing", "Pausing"), ("paused", "Paused"),
          ("suspending", "Suspending"), ("suspended", "Suspended"), ("resuming", "Resuming"), ("rescuing", "Rescuing"),
          ("rescued", "Rescued"), ("unrescuing", "Leaving rescue"), ("rebuilding", "Rebuilding"), ("resizing", "Resizing"),
          ("copying", "Copying"), ("recycling", "Recycling"), ("recycled", "Recycled"), ("restoring", "Restoring"),
          ("error", "Error"), ("deleting", "Deleting"), ("deleted", "Deleted")]
NAMES = [name for name, _label in STATES]


class Migration(migrations.Migration):
    dependencies = [("instances", "0006_resize")]

    operations = [
        migrations.AlterField(
            model_name="instance", name="state",
            field=models.CharField(choices=STATES, default="building", max_length=16, verbose_name="state")),
        migrations.RemoveConstraint(model_name="instance", name="instance_state_known"),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(condition=models.Q(state__in=NAMES), name="instance_state_known")),
    ]
