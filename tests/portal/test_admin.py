"""Operators in admin: every model is found, a host is added by two forms, secrets are not shown, edits are audited."""
import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from compute.hosts.models import Endpoint, Host
from portal.kernel.models import AuditEvent, Operation
from tests.world import World, drain, make_world


@pytest.fixture
def world(transactional_db: None, tmp_path, settings) -> World:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return make_world(tmp_path)


@pytest.fixture
def operator(world: World) -> Client:
    client = Client()
    client.force_login(world.people["root"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_every_registered_model_has_a_list_and_a_search_that_work(world: World, operator: Client) -> None:
    for model in admin.site._registry:
        if model._meta.app_label in ("kernel", "tenants", "billing", "hosts", "storage", "instances"):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
            assert operator.get(reverse(name), {"q": "x"}).status_code in (200, 302), name
            row = model._default_manager.first()
            if row is not None:
                page = operator.get(reverse(name.replace("changelist", "change"), args=[row.pk]))
                assert page.status_code == 200, name


def test_a_host_added_by_its_two_forms_is_prepared_and_ready(world: World, operator: Client, tmp_path) -> None:
    form = {"name": "rack-2", "driver": "simulated", "uri": f"simulated://{tmp_path}/rack-2", "mode": "managed",
            "private_key": "KEEP ME SECRET", "host_key": ""}
    assert operator.post(reverse("admin:hosts_endpoint_add"), form).status_code == 302
    endpoint = Endpoint.objects.get(name="rack-2")
    form = {"name": "rack-2", "region": world.region.pk, "zone": world.zone.pk, "endpoint": endpoint.pk,
            "reserved_memory_mib": 512, "vcpu_ratio": "4"}
    assert operator.post(reverse("admin:hosts_host_add"), form).status_code == 302
    drain()
    host = Host.objects.get(name="rack-2")
    assert host.state == "ready" and host.vcpus > 0
    assert Operation.objects.get(arguments__host=str(host.pk)).state == "succeeded"
    assert AuditEvent.objects.filter(action="endpoint.create", actor=world.people["root"]).exists()
    assert not AuditEvent.objects.filter(after__icontains="KEEP ME SECRET").exists()


def test_a_stored_private_key_is_never_shown_and_survives_an_edit(world: World, operator: Client, tmp_path) -> None:
    endpoint = Endpoint.objects.create(name="e", driver="simulated", uri="simulated:memory/e", private_key="KEEP ME SECRET")
    address = reverse("admin:hosts_endpoint_change", args=[endpoint.pk])
    assert "KEEP ME" not in operator.get(address).content.decode()
    operator.post(address, {"name": "renamed", "driver": "simulated", "uri": endpoint.uri, "mode": "managed",
                            "private_key": "", "host_key": ""})
    endpoint = Endpoint.objects.get(pk=endpoint.pk)
    assert (endpoint.name, endpoint.private_key) == ("renamed", "KEEP ME SECRET")
