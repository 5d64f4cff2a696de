"""Invitations, groups and roles of an organization, and one reading of all bindings, each with an id of its own."""
import uuid

import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

VIEW = """
CREATE VIEW tenants_binding AS
    SELECT bound.uid AS id, substr(permission.codename, 6) AS role, bound.user_id, NULL::uuid AS group_id,
           bound.content_object_id AS organization_id, NULL::uuid AS project_id
      FROM tenants_organizationuserbinding bound JOIN auth_permission permission ON permission.id = bound.permission_id
UNION ALL
    SELECT bound.uid, substr(permission.codename, 6), NULL::uuid, named.id, bound.content_object_id, NULL::uuid
      FROM tenants_organizationgroupbinding bound JOIN auth_permission permission ON permission.id = bound.permission_id
      JOIN tenants_group named ON named.auth_group_id = bound.group_id
UNION ALL
    SELECT bound.uid, substr(permission.codename, 6), bound.user_id, NULL::uuid, project.organization_id, project.id
      FROM tenants_projectuserbinding bound JOIN auth_permission permission ON permission.id = bound.permission_id
      JOIN tenants_project project ON project.id = bound.content_object_id
UNION ALL
    SELECT bound.uid, substr(permission.codename, 6), NULL::uuid, named.id, project.organization_id, project.id
      FROM tenants_projectgroupbinding bound JOIN auth_permission permission ON permission.id = bound.permission_id
      JOIN tenants_project project ON project.id = bound.content_object_id
      JOIN tenants_group named ON named.auth_group_id = bound.group_id
"""


def public_id(model_name):
    return migrations.AddField(model_name=model_name, name="uid", field=models.UUIDField(
        db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, unique=True))


class Migration(migrations.Migration):

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("tenants", "0004_structure"),
    ]

    operations = [
        migrations.CreateModel(
            name="Role",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("permissions", models.JSONField(default=list, verbose_name="permissions")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="roles", to="tenants.organization", verbose_name="organization")),
            ],
            options={
                "verbose_name": "role",
                "verbose_name_plural": "roles",
                "ordering": ["name"],
                "constraints": [models.UniqueConstraint(fields=("organization", "name"), name="role_once")],
            },
        ),
        migrations.CreateModel(
            name="Group",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("auth_group", models.OneToOneField(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="of_organization", to="auth.group")),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="groups", to="tenants.organization", verbose_name="organization")),
            ],
            options={
                "verbose_name": "member group",
                "verbose_name_plural": "member groups",
                "ordering": ["name"],
                "constraints": [models.UniqueConstraint(fields=("organization", "name"), name="group_once")],
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("role", models.CharField(max_length=60, verbose_name="role")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="e-mail address")),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("sent_at", models.DateTimeField(verbose_name="sent")),
                ("mails", models.PositiveSmallIntegerField(default=1, verbose_name="mails")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("accepted_at", models.DateTimeField(editable=False, null=True, verbose_name="accepted")),
                ("revoked_at", models.DateTimeField(editable=False, null=True, verbose_name="revoked")),
                ("accepted_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="accepted by")),
                ("invited_by", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="invited by")),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="invitations", to="tenants.organization", verbose_name="organization")),
                ("project", models.ForeignKey(blank=True, help_text="Empty: the whole organization.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name="invitations", to="tenants.project", verbose_name="project")),
            ],
            options={
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
                "ordering": ["-created_at"],
                "indexes": [models.Index(fields=["organization", "-created_at", "-id"], name="invitation_listing")],
                "constraints": [models.CheckConstraint(condition=models.Q(("accepted_at", None), ("revoked_at", None), _connector="OR"), name="invitation_one_end")],
            },
        ),
        *map(public_id, ("organizationuserbinding", "organizationgroupbinding", "projectuserbinding", "projectgroupbinding")),
        migrations.CreateModel(
            name="Binding",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("role", models.CharField(max_length=60, verbose_name="role")),
            ],
            options={
                "verbose_name": "binding",
                "verbose_name_plural": "bindings",
                "db_table": "tenants_binding",
                "managed": False,
            },
        ),
        migrations.RunSQL(VIEW, "DROP VIEW tenants_binding"),
    ]
