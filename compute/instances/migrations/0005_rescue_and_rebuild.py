"""Rescue and rebuild."""
import django.db.models.deletion
from django.db import migrations, models

import portal.kernel.secrets

STATES = [("building", "Building"), ("starting", "Starting"), ("running", "Running"), ("stopping", "Stopping"),
          ("stopped", "Stopped"), ("rebooting", "Rebooting"), ("pausing", "Pausing"), ("paused", "Paused"),
          ("suspending", "Suspending"), ("suspended", "Suspended"), ("resuming", "Resuming"), ("rescuing", "Rescuing"),
          ("rescued", "Rescued"), ("unrescuing", "Leaving rescue"), ("rebuilding", "Rebuilding"), ("recycling", "Recycling"),
          ("recycled", "Recycled"), ("restoring", "Restoring"), ("error", "Error"), ("deleting", "Deleting"),
          ("deleted", "Deleted")]
NAMES = [name for name, _label in STATES]


class Migration(migrations.Migration):
    dependencies = [("instances", "0004_guards"), ("storage", "0002_rescue_images")]
    operations = [
        migrations.AddField(
            model_name="instance", name="rescue_image",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="storage.image",
                                    verbose_name="rescue image", help_text="What it boots from instead of its own disk.")),
        migrations.AddField(
            model_name="instance", name="rebuilt_by",
            field=models.UUIDField(editable=False, null=True,
                                   help_text="The operation that last wrote its root disk anew.")),
        migrations.AddField(
            model_name="instance", name="next_user_data",
            field=portal.kernel.secrets.EncryptedTextField(blank=True, default="", editable=False,
                                                           help_text="What a rebuild under way will bring."),
            preserve_default=False),
        migrations.AlterField(
            model_name="instance", name="state",
            field=models.CharField(choices=STATES, default="building", max_length=16, verbose_name="state")),
        migrations.RemoveConstraint(model_name="instance", name="instance_state_known"),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(condition=models.Q(state__in=NAMES), name="instance_state_known")),
    ]
