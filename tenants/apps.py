from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import (
    ACCOUNTANTS,
    ADMINS,
    EVERYBODY,
    OPERATORS,
    OWNERS,
    Permission,
    QuotaDimension,
    registry,
)


class TenantsConfig(AppConfig):
    """Who is who, who may do what, and how much."""

    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        from portal.kernel.operations import making
        from portal.kernel.secrets import rotations
        from tenants import access_notices, factors, quota_notices
        from tenants.impersonation import seen_by_sockets
        from tenants.models import ApiKey
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
            Permission(name="quota.request", label=_("Ask for higher limits"), roles=OPERATORS),
            # Of no region, as keys are; those of a person for all projects are bounded by person (MOST_KEYS).
            QuotaDimension(name="api_keys", label=_("API keys"), rows=ApiKey.objects.usable, regional=False),
            QuotaDimension(name="operations", label=_("Operations in flight"), rows=making),
            *quota_notices.KINDS, *access_notices.KINDS,
        )
        if factors.rotate not in rotations:
            rotations.append(factors.rotate)
        registry.session_hooks.append(seen_by_sockets)
        # Framework wiring: the roles are rows of Django's permission table, which exists after migrate.
        post_migrate.connect(ensure_role_permissions, sender=self)
