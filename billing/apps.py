from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ACCOUNTANTS, Permission, registry


class BillingConfig(AppConfig):
    """What is used, and what it costs."""

    name = "billing"
    label = "billing"
    verbose_name = _("Billing")

    def ready(self) -> None:
        from billing import budgets, collection_notices, ladder, metering, notices
        from billing.exports.steps import WRITE
        from portal.kernel.operations import register

        register(WRITE)
        registry.add(Permission(name="usage.view", label=_("See usage and its cost"), roles=ACCOUNTANTS))
        registry.add(Permission(name="invoice.view", label=_("See invoices and payments"), roles=ACCOUNTANTS))
        registry.add(Permission(name="billing.manage", label=_("Change how bills are paid"),
                                roles=frozenset({"owner", "admin", "billing"})))
        registry.add(Permission(name="budget.manage", label=_("Make, change and delete budgets"),
                                roles=frozenset({"owner", "admin", "billing"})))
        registry.add(*notices.KINDS, budgets.telling.KIND, *collection_notices.KINDS)
        if metering.on_move not in registry.move_hooks:
            registry.move_hooks.append(metering.on_move)
        if ladder.refuse_new not in registry.taking_hooks:
            registry.taking_hooks.append(ladder.refuse_new)
        if ladder.audited not in registry.audit_hooks:
            registry.audit_hooks.append(ladder.audited)
        if budgets.end_with_project not in registry.project_end_hooks:
            registry.project_end_hooks.append(budgets.end_with_project)
