from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import registry


class NoticesConfig(AppConfig):
    """Notifications by mail: who wants which, and how they are sent."""

    name = "portal.notices"
    label = "notices"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        from portal.notices import events, kinds
        from tenants import notices

        registry.add(*notices.KINDS, *kinds.KINDS)
        if events.operation_settled not in registry.settle_hooks:
            registry.settle_hooks.append(events.operation_settled)
        if events.audited not in registry.audit_hooks:
            registry.audit_hooks.append(events.audited)
