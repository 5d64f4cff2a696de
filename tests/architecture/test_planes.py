"""The planes: hub tables (identity, prices, catalogue) never point at regional ones; what tenants own can be hidden."""
from django.apps import apps
from django.db import models

from portal.kernel.models import Resource
from tests.architecture.source import room_of

# Tables of the hub. Every other table of ours is regional, and none of these may point at one.
HUB = {
    "webhooks.Webhook", "webhooks.Delivery",
    "tenants.BrowserSession", "tenants.Connection", "tenants.ConnectionDomain", "tenants.User",
    "tenants.Organization", "tenants.Project", "tenants.Quota", "tenants.QuotaRequest", "tenants.ApiKey",
    "tenants.ServiceUser", "tenants.BreakGlass", "tenants.Impersonation",
    "tenants.OrganizationUserBinding", "tenants.OrganizationGroupBinding", "tenants.ProjectUserBinding",
    "tenants.ProjectGroupBinding", "kernel.Region", "kernel.Zone", "kernel.IdempotencyKey", "billing.PriceBook",
    "billing.Price", "billing.PriceTier", "billing.Terms", "billing.Issuer", "billing.Series", "billing.TaxRate",
    "billing.Export", "billing.ExportSchedule",
    "billing.Credit", "billing.Voucher", "billing.VoucherUse", "billing.Budget", "billing.BudgetAlarm",
    "billing.BillingProfile", "billing.Dunning", "billing.Invoice", "billing.InvoiceMail",
    "billing.ClosingFailure", "billing.InvoiceLine", "billing.Payment", "billing.Entry", "billing.Leg",
    "instances.InstanceType",
}
# Reached only through rows that have `visible_to`.
PARTS = {"tenants.Quota", "tenants.OrganizationUserBinding", "tenants.OrganizationGroupBinding",
         "tenants.ProjectUserBinding", "tenants.ProjectGroupBinding"}
OWNERS = {"tenants.Organization", "tenants.Project"}


def ours() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if room_of(model.__module__)]


def test_the_list_of_hub_tables_names_tables_that_exist() -> None:
    assert {model._meta.label for model in ours()} >= HUB


def test_hub_tables_never_point_at_regional_ones() -> None:
    wrong = [f"{model._meta.label}.{field.name} → {field.related_model._meta.label}" for model in ours()
             if model._meta.label in HUB for field in model._meta.get_fields()
             if (field.many_to_one or field.one_to_one or field.many_to_many) and not field.auto_created
             and room_of(field.related_model.__module__) and field.related_model._meta.label not in HUB]
    assert wrong == []


def test_resources_are_regional() -> None:
    assert not HUB & {model._meta.label for model in ours() if issubclass(model, Resource)}


def test_whatever_belongs_to_a_tenant_can_be_asked_who_sees_it() -> None:
    owned = [model for model in ours() if any(
        field.is_relation and field.related_model._meta.label in OWNERS for field in model._meta.get_fields()
        if field.concrete) or issubclass(model, Resource)]
    assert len(owned) >= 8
    blind = [model._meta.label for model in owned
             if model._meta.label not in PARTS and not hasattr(model._default_manager.all(), "visible_to")]
    assert blind == []


def test_states_are_held_by_the_database_too() -> None:
    """A state that no code knows cannot be stored."""
    loose = [model._meta.label for model in ours() if hasattr(model, "MOVES") and not any(
        isinstance(constraint, models.CheckConstraint) and "state" in str(constraint.condition)
        for constraint in model._meta.constraints)]
    assert loose == []
