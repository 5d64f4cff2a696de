from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ACCOUNTANTS, Permission, registry


class BillingConfig(AppConfig):
    """What is used, and what it costs."""

    name = "billing"
    label = "billing"
    verbose_name = _("Billing")

    def ready(self) -> None:
        from billing import metering

        registry.add(Permission(name="usage.view", label=_("See usage and its cost"), roles=ACCOUNTANTS))
        if metering.on_move not in registry.move_hooks:
            registry.move_hooks.append(metering.on_move)
