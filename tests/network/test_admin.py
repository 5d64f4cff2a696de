"""Operators and networks in admin: fabrics and address pools are set up and audited, keys are not shown, all is found."""
from uuid import uuid4

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse

from compute.network.models import AddressPool, Fabric, TrafficCount
from portal.kernel.models import AuditEvent, Region
from portal.kernel.states import database_now
from tests.network.networked import Networked, settle

POOL = {"slug": "second", "name": "Second", "physical_network": "public", "cidr": "198.18.201.0/24", "gateway": "198.18.201.1",
        "first": "198.18.201.10", "last": "198.18.201.20", "is_open": "on"}


@pytest.fixture
def net(networked_world: Networked, settings) -> Networked:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return networked_world


@pytest.fixture
def operator(net: Networked) -> Client:
    client = Client()
    client.force_login(net.world.people["root"])
    return client


def test_everything_of_a_tenants_network_is_listed_found_and_shown(net: Networked, operator: Client) -> None:
    net.port()
    floating = net.floating_ip()
    TrafficCount.objects.create(host=net.world.host, floating_ip_id=floating["id"], address=floating["address"], sku="public",
                                began_at=database_now())
    group = net.group()["id"]
    net.made("security-group-rules", {"security_group": group, "direction": "ingress", "protocol": "any",
                                      "remote_cidr": "10.0.0.0/8"})
    for model in apps.get_app_config("network").get_models():
        name = f"admin:network_{model._meta.model_name}"
        if model._meta.model_name == "securitygrouprule":  # shown in its group
            continue
        rows = list(model._default_manager.all())
        assert rows, name
        assert operator.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200
        assert str(rows[0].pk) in operator.get(reverse(f"{name}_changelist")).content.decode()
        assert operator.get(reverse(f"{name}_change", args=[rows[0].pk])).status_code == 200
    assert "10.0.0.0/8" in operator.get(reverse("admin:network_securitygroup_change", args=[group])).content.decode()


def test_a_fabrics_key_is_never_shown_nor_audited_and_survives_an_edit(net: Networked, operator: Client) -> None:
    region = Region.objects.create(slug="second", name="Second")
    form = {"region": region.pk, "driver": "simulated", "uri": f"simulated:memory/{uuid4()}", "private_key": "KEEP ME SECRET"}
    assert operator.post(reverse("admin:network_fabric_add"), form).status_code == 302
    address = reverse("admin:network_fabric_change", args=[region.pk])
    assert "KEEP ME" not in operator.get(address).content.decode()
    uri = f"simulated:memory/{uuid4()}"
    assert operator.post(address, {"driver": "simulated", "uri": uri, "private_key": ""}).status_code == 302
    fabric = Fabric.objects.get(region=region)
    assert (fabric.uri, fabric.private_key) == (uri, "KEEP ME SECRET")
    assert AuditEvent.objects.filter(action__in=["fabric.create", "fabric.update"], actor=net.world.people["root"]).count() == 2
    assert not AuditEvent.objects.filter(after__icontains="KEEP ME").exists()


def test_compare_now_mends_what_somebody_removed_and_says_who_answers(net: Networked, operator: Client) -> None:
    port = net.port()
    settle()
    whole = net.hand.census()
    net.hand.remove_row(f"lrp-{port['subnet']}")
    assert net.hand.census() != whole
    sent = {"action": "compare", "_selected_action": [net.fabric.pk]}
    page = operator.post(reverse("admin:network_fabric_changelist"), sent, follow=True)
    assert net.hand.census() == whole and "Lab: Up" in page.content.decode()
    net.hand.set_unreachable()
    page = operator.post(reverse("admin:network_fabric_changelist"), sent, follow=True)
    assert "Lab: Unreachable" in page.content.decode()
    assert AuditEvent.objects.filter(action="fabric.compare", actor=net.world.people["root"]).count() == 2


def test_a_fabric_with_vpcs_is_not_deleted(net: Networked, operator: Client) -> None:
    net.vpc()
    address = reverse("admin:network_fabric_delete", args=[net.fabric.pk])
    assert operator.post(address, {"post": "yes"}).status_code == 403
    assert Fabric.objects.filter(pk=net.fabric.pk).exists()


def test_an_address_pool_is_made_by_its_form_and_mistakes_are_named(net: Networked, operator: Client) -> None:
    address = reverse("admin:network_addresspool_add")
    form = POOL | {"region": net.world.region.pk}
    for wrong, field in (({"cidr": "198.18.201.1/24"}, "host bits"), ({"cidr": "x" * 5000}, "nonsense"),
                         ({"last": "198.18.202.20"}, "outside"), ({"gateway": "198.18.201.15"}, "within"),
                         ({"first": "198.18.201.30"}, "turned round"), ({"gateway": "fe80::1"}, "IPv6")):
        assert operator.post(address, form | wrong).status_code == 200, field
    assert AddressPool.objects.count() == 1
    assert operator.post(address, form).status_code == 302
    made = AddressPool.objects.get(slug="second")
    assert (str(made.cidr), made.size, made.revision) == ("198.18.201.0/24", 11, 1)
    changed = operator.post(reverse("admin:network_addresspool_change", args=[made.pk]), form | {"last": "198.18.201.30"})
    made.refresh_from_db()
    assert changed.status_code == 302 and (made.size, made.revision) == (21, 2)


def test_a_pool_that_gave_out_addresses_keeps_its_network(net: Networked, operator: Client) -> None:
    net.floating_ip()
    operator.post(reverse("admin:network_addresspool_change", args=[net.pool.pk]), POOL | {"region": net.world.region.pk})
    net.pool.refresh_from_db()
    assert (net.pool.slug, str(net.pool.cidr)) == ("public", "198.18.200.0/24")
