from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ACCOUNTANTS, ADMINS, EVERYBODY, OPERATORS, OWNERS, Permission, registry


class TenantsConfig(AppConfig):
    """Who is who, who may do what, and how much."""

    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        from tenants.roles import ensure_role_permissions

        registry.add(
            Permission(name="project.view", label=_("See the project"), roles=ACCOUNTANTS),
            Permission(name="project.manage", label=_("Change the project and its quotas"), roles=ADMINS),
            Permission(name="member.view", label=_("See members, groups and roles"), roles=EVERYBODY),
            Permission(name="member.manage", label=_("Invite people, and give and take roles"), roles=ADMINS),
            Permission(name="organization.manage", label=_("Change the organization"), roles=OWNERS),
            Permission(name="apikey.manage", label=_("Make and revoke own API keys"), roles=EVERYBODY),
            Permission(name="operation.view", label=_("See operations"), roles=EVERYBODY),
            Permission(name="operation.cancel", label=_("Cancel operations"), roles=OPERATORS),
            Permission(name="audit.view", label=_("See the audit trail"), roles=EVERYBODY),
        )
        # Framework wiring: the roles are rows of Django's permission table, which exists after migrate.
        post_migrate.connect(ensure_role_permissions, sender=self)
