"""Launch templates with their versions, and which organizations an instance type is for."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

import portal.kernel.secrets


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0007_clone"), ("kernel", "0001_initial"), ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField("instancetype", "is_restricted", models.BooleanField(
            db_default=False, default=False, verbose_name="only for chosen organizations")),
        migrations.AddField("instancetype", "organizations", models.ManyToManyField(
            blank=True, related_name="+", to="tenants.organization", verbose_name="organizations",
            help_text="To whom it is offered, where it is only for chosen ones.")),
        migrations.CreateModel(
            name="LaunchTemplate",
            fields=[
                ("resource", models.OneToOneField(
                    on_delete=django.db.models.deletion.CASCADE, parent_link=True, primary_key=True,
                    related_name="launch_template", serialize=False, to="kernel.resource")),
                ("default_version", models.PositiveIntegerField(default=1, verbose_name="default version")),
                ("latest_version", models.PositiveIntegerField(default=1, verbose_name="latest version")),
            ],
            options={"verbose_name": "launch template", "verbose_name_plural": "launch templates"},
            bases=("kernel.resource",),
        ),
        migrations.CreateModel(
            name="LaunchTemplateVersion",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("values", models.JSONField(default=dict, verbose_name="values")),
                ("user_data", portal.kernel.secrets.EncryptedTextField(blank=True, verbose_name="user data")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("created_by", models.ForeignKey(
                    null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL,
                    verbose_name="saved by")),
                ("template", models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="instances.launchtemplate",
                    verbose_name="launch template")),
            ],
            options={"verbose_name": "version of a launch template", "verbose_name_plural": "versions of launch templates",
                     "ordering": ["-created_at"],
                     "indexes": [models.Index(fields=["template", "-created_at", "-id"], name="template_versions_newest")],
                     "constraints": [
                         models.UniqueConstraint(fields=("template", "number"), name="launch_template_version_once"),
                         models.CheckConstraint(condition=Q(number__gt=0), name="launch_template_version_counted")]},
        ),
    ]
