"""Money, operations, the audit trail and what tenants made are never changed by hand in admin, by no kind of request."""
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model

from billing.models import (
    Charge,
    Counter,
    Credit,
    Dunning,
    Entry,
    Invoice,
    InvoiceLine,
    Outage,
    Payment,
    Price,
    Terms,
    UsageInterval,
    Voucher,
)
from compute.instances.models import Instance
from compute.network.models import FloatingIp, Port, SecurityGroup, Subnet, Vpc
from portal.kernel.models import AuditEvent, Hold, Operation, Resource
from storage.models import Attachment, Image, Volume
from tests.portal.admin.scene import page, read_only
from tests.portal.scenery import Scene

MUST = {AuditEvent, Operation, Hold, Resource, UsageInterval, Counter, Credit, Instance, Volume, Attachment, Image, Vpc, Subnet,
        Port, SecurityGroup, FloatingIp, Invoice, InvoiceLine, Charge, Payment, Entry, Price, Terms, Outage}
# Added by its verb, then never changed; of the ladder, what is added is a hold.
GIVEN_ONCE = {Credit, Voucher, Invoice, Charge, Payment, Price, Terms, Outage, Dunning}
pytestmark = pytest.mark.django_db


def label(model: type[Model]) -> str:
    return model._meta.label


def columns(row: Model) -> dict[str, Any]:
    return type(row)._base_manager.filter(pk=row.pk).values().get()


def test_the_list_of_them_holds_what_it_must() -> None:
    assert set(read_only()) >= MUST


@pytest.mark.parametrize("model", read_only(), ids=label)
def test_nothing_of_it_is_added_changed_or_deleted(undone: Scene, model: type[Model]) -> None:
    browser, row = undone.cast.browser("root"), undone.ours[model]
    before, count = columns(row), model._base_manager.count()
    sent = dict.fromkeys(before, "1") | {"name": "changed", "state": "deleted", "_save": "Save"}
    if model not in GIVEN_ONCE:
        assert browser.get(page(model, "add")).status_code == 403
        assert browser.post(page(model, "add"), sent).status_code == 403
    assert browser.post(page(model, "change", row.pk), sent).status_code == 403
    assert browser.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    browser.post(page(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    browser.post(page(model), {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(row.pk), "_save": "Save"} | {
        f"form-0-{name}": value for name, value in sent.items()})
    assert (columns(row), model._base_manager.count()) == (before, count)


def test_what_tenants_made_is_changed_by_acts_alone() -> None:
    """Each act of a read-only page is one of the rooms' verbs, offered to those who may change the model."""
    for model in read_only():
        for name in admin.site._registry[model].actions or ():
            action = getattr(type(admin.site._registry[model]), name)
            assert callable(action.verb) and action.allowed_permissions == ("operate",), (model, name)
