"""Instances pause, suspend and wait in the recycle bin; whatever is not being made, failed or going has a host."""
from django.db import migrations, models

STATES = [("building", "Building"), ("starting", "Starting"), ("running", "Running"), ("stopping", "Stopping"),
          ("stopped", "Stopped"), ("rebooting", "Rebooting"), ("pausing", "Pausing"), ("paused", "Paused"),
          ("suspending", "Suspending"), ("suspended", "Suspended"), ("resuming", "Resuming"), ("recycling", "Recycling"),
          ("recycled", "Recycled"), ("restoring", "Restoring"), ("error", "Error"), ("deleting", "Deleting"),
          ("deleted", "Deleted")]
NAMES = [name for name, _label in STATES]


class Migration(migrations.Migration):

    dependencies = [("instances", "0002_instances_by_state")]

    operations = [
        migrations.AddField(
            model_name="instance", name="recycled_at",
            field=models.DateTimeField(null=True, verbose_name="in the recycle bin since")),
        migrations.AlterField(
            model_name="instance", name="state",
            field=models.CharField(choices=STATES, default="building", max_length=16, verbose_name="state")),
        migrations.RemoveConstraint(model_name="instance", name="instance_state_known"),
        migrations.RemoveConstraint(model_name="instance", name="instance_has_a_host_when_it_exists"),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(condition=models.Q(state__in=NAMES), name="instance_state_known")),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(
                condition=models.Q(state__in=("building", "error", "deleting", "deleted")) | models.Q(host__isnull=False),
                name="instance_has_a_host_when_it_exists")),
    ]
