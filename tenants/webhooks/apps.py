from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ADMINS, Permission, registry


class WebhooksConfig(AppConfig):
    """Events of an organization, posted to addresses that it names."""

    name = "tenants.webhooks"
    label = "webhooks"
    verbose_name = _("Webhooks")

    def ready(self) -> None:
        from tenants.webhooks import events, operations

        registry.add(
            # Addresses of receivers often carry a secret in their path: nobody else sees them.
            Permission(name="webhook.view", label=_("See webhooks and their deliveries"), roles=ADMINS),
            Permission(name="webhook.manage", label=_("Make, change and delete webhooks"), roles=ADMINS),
        )
        if events.operation_settled not in registry.settle_hooks:
            registry.settle_hooks.append(events.operation_settled)
        if events.audited not in registry.audit_hooks:
            registry.audit_hooks.append(events.audited)
        if operations.end_with_project not in registry.project_end_hooks:
            registry.project_end_hooks.append(operations.end_with_project)
        if operations.end_with_organization not in registry.organization_end_hooks:
            registry.organization_end_hooks.append(operations.end_with_organization)
