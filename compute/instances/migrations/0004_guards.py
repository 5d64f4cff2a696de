"""Locks, termination protection and schedules."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0003_paused_suspended_recycled"), ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField("instance", "locked_at", models.DateTimeField(null=True, verbose_name="locked since")),
        migrations.AddField("instance", "locked_by", models.ForeignKey(
            null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL,
            verbose_name="locked by")),
        migrations.AddField("instance", "lock_reason", models.CharField(
            blank=True, default="", max_length=200, verbose_name="why it is locked"), preserve_default=False),
        migrations.AddField("instance", "is_locked_by_operator", models.BooleanField(
            db_default=False, default=False, verbose_name="locked by an operator")),
        migrations.AddField("instance", "is_protected", models.BooleanField(
            db_default=False, default=False, verbose_name="protected against deletion")),
        migrations.AddConstraint("instance", models.CheckConstraint(
            condition=Q(locked_at__isnull=False) | Q(locked_by=None, lock_reason="", is_locked_by_operator=False),
            name="instance_lock_has_a_time")),
        migrations.CreateModel(
            name="InstanceSchedule",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("verb", models.CharField(choices=[("start", "Start"), ("stop", "Stop"), ("reboot", "Reboot")], max_length=16,
                                          verbose_name="what is done")),
                ("tag_key", models.CharField(blank=True, max_length=60, verbose_name="tag")),
                ("tag_value", models.CharField(blank=True, max_length=200, verbose_name="value of the tag")),
                ("cron", models.CharField(max_length=100, verbose_name="cron expression")),
                ("time_zone", models.CharField(default="UTC", max_length=60, verbose_name="time zone")),
                ("state", models.CharField(choices=[("enabled", "Enabled"), ("disabled", "Disabled")], default="enabled",
                                           max_length=16, verbose_name="state")),
                ("next_at", models.DateTimeField(verbose_name="next run")),
                ("refusals", models.PositiveSmallIntegerField(default=0, verbose_name="refused in a row")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("instance", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT,
                                               related_name="schedules", to="instances.instance", verbose_name="instance")),
                ("owner", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                                            to=settings.AUTH_USER_MODEL, verbose_name="in whose name")),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="instance_schedules",
                                              to="tenants.project", verbose_name="project")),
            ],
            options={"verbose_name": "instance schedule", "verbose_name_plural": "instance schedules",
                     "ordering": ["-created_at"],
                     "indexes": [
                         models.Index(condition=Q(state="enabled"), fields=["next_at"], name="instance_schedules_due"),
                         models.Index(fields=["-created_at", "-id"], name="instance_schedules_newest")],
                     "constraints": [
                         models.CheckConstraint(condition=Q(state__in=["enabled", "disabled"]),
                                                name="instance_schedule_state_known"),
                         models.CheckConstraint(condition=Q(verb__in=["start", "stop", "reboot"]),
                                                name="instance_schedule_verb_known"),
                         models.CheckConstraint(
                             condition=Q(instance__isnull=False, tag_key="", tag_value="") | Q(instance=None) & ~Q(tag_key=""),
                             name="instance_schedule_of_something")]},
        ),
        migrations.CreateModel(
            name="ScheduleRun",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("created_at", models.DateTimeField(verbose_name="begun")),
                ("state", models.CharField(choices=[("running", "Running"), ("done", "Done"), ("refused", "Refused"),
                                                    ("missed", "Missed")], default="running", max_length=16,
                                           verbose_name="state")),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("pending", models.JSONField(default=list)),
                ("results", models.JSONField(
                    default=list, verbose_name="results",
                    help_text="Of each instance: instance, name, outcome (accepted, unchanged, refused), operation, error.")),
                ("schedule", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="runs",
                                               to="instances.instanceschedule", verbose_name="instance schedule")),
            ],
            options={"verbose_name": "run of a schedule", "verbose_name_plural": "runs of schedules",
                     "ordering": ["-created_at"],
                     "indexes": [
                         models.Index(fields=["schedule", "-created_at", "-id"], name="schedule_runs_newest"),
                         models.Index(fields=["due_at"], name="schedule_runs_by_age"),
                         models.Index(condition=Q(state="running"), fields=["id"], name="schedule_runs_open")],
                     "constraints": [
                         models.UniqueConstraint(fields=("schedule", "due_at"), name="schedule_run_once"),
                         models.CheckConstraint(condition=Q(state__in=["running", "done", "refused", "missed"]),
                                                name="schedule_run_state_known")]},
        ),
    ]
