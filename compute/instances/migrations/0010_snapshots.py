import django.db.models.deletion
from django.db import migrations, models

STATES = [
    ("building", "Building"), ("starting", "Starting"), ("running", "Running"), ("stopping", "Stopping"), ("stopped", "Stopped"),
    ("rebooting", "Rebooting"), ("pausing", "Pausing"), ("paused", "Paused"), ("suspending", "Suspending"),
    ("suspended", "Suspended"), ("resuming", "Resuming"), ("rescuing", "Rescuing"), ("rescued", "Rescued"),
    ("unrescuing", "Leaving rescue"), ("rebuilding", "Rebuilding"), ("resizing", "Resizing"), ("copying", "Copying"),
    ("snapshotting", "Taking a snapshot"), ("reverting", "Reverting"), ("recycling", "Recycling"), ("recycled", "Recycled"),
    ("restoring", "Restoring"), ("error", "Error"), ("deleting", "Deleting"), ("deleted", "Deleted")]
OF_SNAPSHOT = [("creating", "Creating"), ("active", "Active"), ("deleting", "Deleting"), ("deleted", "Deleted")]


class Migration(migrations.Migration):
    dependencies = [("instances", "0009_power_cause"), ("storage", "0003_from_an_instance"),
                    ("kernel", "0011_operations_of_no_region")]
    operations = [
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                ("state_changed_at", models.DateTimeField(auto_now_add=True)),
                ("resource", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, parent_link=True, primary_key=True,
                                                  related_name="snapshot", serialize=False, to="kernel.resource")),
                ("state", models.CharField(choices=OF_SNAPSHOT, default="creating", max_length=16, verbose_name="state")),
                ("of_instance", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="snapshots",
                                                  to="instances.instance", verbose_name="instance")),
                ("parent", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="children",
                                             to="instances.snapshot", verbose_name="taken after")),
                ("has_memory", models.BooleanField(default=False, verbose_name="with memory")),
                ("disk_gib", models.PositiveIntegerField(verbose_name="size of its volumes (GiB)")),
                ("vcpus", models.PositiveIntegerField(verbose_name="vCPUs")),
                ("memory_mib", models.PositiveIntegerField(verbose_name="memory (MiB)")),
                ("cards", models.JSONField(default=list, help_text="The hardware addresses of its network cards.")),
                ("shape", models.CharField(blank=True, editable=False, max_length=1000, help_text=(
                    "What of its virtual hardware has to be the same for its memory to fit."))),
            ],
            options={"verbose_name": "snapshot", "verbose_name_plural": "snapshots"},
            bases=("kernel.resource", models.Model),
        ),
        migrations.CreateModel(
            name="SnapshotVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("snapshot", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="parts",
                                               to="instances.snapshot", verbose_name="snapshot")),
                ("volume", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="storage.volume",
                                             verbose_name="volume")),
                ("size_gib", models.PositiveIntegerField(verbose_name="size (GiB)")),
                ("is_boot", models.BooleanField(default=False, verbose_name="root volume")),
            ],
            options={"verbose_name": "volume of a snapshot", "verbose_name_plural": "volumes of snapshots"},
        ),
        migrations.AddField(
            model_name="instance", name="current_snapshot",
            field=models.ForeignKey(
                editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="instances.snapshot",
                help_text="Where it stands among its snapshots: which one it was last taken as, or reverted to."),
        ),
        migrations.RemoveConstraint(model_name="instance", name="instance_state_known"),
        migrations.AlterField(
            model_name="instance", name="state",
            field=models.CharField(choices=STATES, default="building", max_length=16, verbose_name="state"),
        ),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(condition=models.Q(state__in=[name for name, _label in STATES]),
                                              name="instance_state_known"),
        ),
        migrations.AddIndex(
            model_name="snapshot",
            index=models.Index(condition=~models.Q(state="deleted"), fields=["of_instance"], name="snapshot_of_instance"),
        ),
        migrations.AddConstraint(
            model_name="snapshot",
            constraint=models.CheckConstraint(condition=models.Q(state__in=[name for name, _label in OF_SNAPSHOT]),
                                              name="snapshot_state_known"),
        ),
        migrations.AddConstraint(
            model_name="snapshotvolume",
            constraint=models.UniqueConstraint(fields=("snapshot", "volume"), name="snapshot_volume_once"),
        ),
    ]
