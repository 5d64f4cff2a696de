"""Files of the books, and schedules that make them."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portal.kernel.secrets


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0009_budgets_and_vouchers"),
        ("kernel", "0011_operations_of_no_region"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExportSchedule",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("what", models.CharField(choices=[("focus", "Charges (FOCUS 1.2)"), ("usage", "Usage"), ("invoices",
                    "Invoices"), ("ledger", "Ledger")], max_length=20, verbose_name="what")),
                ("format", models.CharField(choices=[("csv", "CSV"), ("xlsx", "Excel (XLSX)"), ("json",
                    "JSON, an object a line")], max_length=10, verbose_name="format")),
                ("every", models.CharField(choices=[("day", "Day"), ("week", "Week"), ("month", "Month, after it was closed")],
                    max_length=10, verbose_name="every")),
                ("url", models.CharField(blank=True, max_length=500, verbose_name="address")),
                ("method", models.CharField(choices=[("POST", "POST"), ("PUT", "PUT")], default="POST", max_length=4,
                    verbose_name="method")),
                ("secret", portal.kernel.secrets.EncryptedTextField(blank=True, help_text="Signs what is sent to the address.")),
                ("folder", models.CharField(blank=True, max_length=60, verbose_name="folder")),
                ("state", models.CharField(choices=[("enabled", "Enabled"), ("disabled", "Disabled")], default="enabled",
                    max_length=16, verbose_name="state")),
                ("next_at", models.DateTimeField(verbose_name="next file")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("maker", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                    to=settings.AUTH_USER_MODEL, verbose_name="made by")),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT,
                    related_name="export_schedules", to="tenants.organization", verbose_name="organization")),
            ],
            options={
                "verbose_name": "export schedule",
                "verbose_name_plural": "export schedules",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("what", models.CharField(choices=[("focus", "Charges (FOCUS 1.2)"), ("usage", "Usage"), ("invoices",
                    "Invoices"), ("ledger", "Ledger")], max_length=20, verbose_name="what")),
                ("format", models.CharField(choices=[("csv", "CSV"), ("xlsx", "Excel (XLSX)"), ("json",
                    "JSON, an object a line")], max_length=10, verbose_name="format")),
                ("columns", models.JSONField(default=list, verbose_name="columns")),
                ("first_month", models.CharField(max_length=7, verbose_name="from month")),
                ("last_month", models.CharField(max_length=7, verbose_name="to month")),
                ("state", models.CharField(choices=[("writing", "Being written"), ("ready", "Ready"), ("failed", "Failed"),
                    ("removed", "Removed")], default="writing", max_length=16, verbose_name="state")),
                ("operation", models.UUIDField(editable=False, null=True, verbose_name="operation")),
                ("progress", models.PositiveSmallIntegerField(default=0, verbose_name="progress")),
                ("rows", models.PositiveBigIntegerField(default=0, verbose_name="rows")),
                ("size", models.PositiveBigIntegerField(default=0, verbose_name="bytes")),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="SHA-256")),
                ("error", models.JSONField(null=True, verbose_name="error")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                ("delivery", models.CharField(choices=[("none", "Not delivered by itself"), ("pending", "Being delivered"),
                    ("delivered", "Delivered"), ("failed", "Given up")], default="none", max_length=16, verbose_name="delivery")),
                ("tries", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("attempts", models.JSONField(default=list, help_text="The newest last: at, status, ms, error, answer.",
                    verbose_name="attempts")),
                ("next_at", models.DateTimeField(null=True, verbose_name="next try")),
                ("token", models.BigIntegerField(default=0, editable=False)),
                ("lease_until", models.DateTimeField(editable=False, null=True)),
                ("maker", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                    to=settings.AUTH_USER_MODEL, verbose_name="made by")),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="exports",
                    to="tenants.organization", verbose_name="organization")),
                ("schedule", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="exports",
                    to="billing.exportschedule", verbose_name="export schedule")),
            ],
            options={
                "verbose_name": "export",
                "verbose_name_plural": "exports",
                "ordering": ["-created_at"],
            },
        ),
        migrations.AddIndex(
            model_name="exportschedule",
            index=models.Index(condition=models.Q(("state", "enabled")), fields=["next_at"], name="export_schedules_due"),
        ),
        migrations.AddIndex(
            model_name="exportschedule",
            index=models.Index(fields=["-created_at", "-id"], name="export_schedules_newest"),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.CheckConstraint(condition=models.Q(("state__in", ["enabled", "disabled"])),
                name="export_schedule_state_known"),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.CheckConstraint(condition=models.Q(models.Q(("url", ""), models.Q(("folder", ""),
                _negated=True)), models.Q(("folder", ""), models.Q(("url", ""), _negated=True)), _connector="OR"),
                    name="export_schedule_leads_somewhere"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(fields=["organization", "-created_at", "-id"], name="exports_of_organization"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(fields=["-created_at", "-id"], name="exports_newest"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(condition=models.Q(("delivery", "pending")), fields=["next_at"], name="exports_to_deliver"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(condition=models.Q(("state", "ready")), fields=["finished_at"], name="exports_ready"),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(condition=models.Q(models.Q(("finished_at", None), ("state", "writing")),
                models.Q(("finished_at__isnull", False), ("state__in", ["ready", "failed", "removed"])), _connector="OR"),
                    name="export_finished_when_settled"),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(condition=models.Q(("delivery__in", ["none", "pending", "delivered", "failed"])),
                name="export_delivery_known"),
        ),
    ]
