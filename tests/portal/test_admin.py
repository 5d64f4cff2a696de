"""Operators in admin: every model is found, a host is added by one form, secrets are not shown, edits are audited."""
import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from compute.hosts.identity import identity_of
from compute.hosts.models import Endpoint, Host
from portal.kernel.models import AuditEvent, Operation, Zone
from tenants.models import Project
from tenants.operations import create_organization
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
    client.force_login(world.people["root"])
    return client


def test_every_registered_model_has_a_list_and_a_search_that_work(world: World, operator: Client) -> None:
    for model in admin.site._registry:
        if model._meta.app_label in ("kernel", "tenants", "billing", "hosts", "storage", "network", "instances"):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
            assert operator.get(reverse(name), {"q": "x"}).status_code in (200, 302), name
            row = model._default_manager.first()
            if row is not None:
                page = operator.get(reverse(name.replace("changelist", "change"), args=[row.pk]))
                assert page.status_code == 200, name


def test_a_host_added_by_one_form_is_prepared_and_ready(world: World, operator: Client, tmp_path) -> None:
    page = operator.get(reverse("admin:hosts_host_add")).content.decode()
    assert identity_of(world.region).public_key in page and "PRIVATE KEY" not in page
    form = {"name": "rack-2", "address": f"simulated://{tmp_path}/rack-2"}
    answer = operator.post(reverse("admin:hosts_host_add"), form)
    host = Host.objects.get(name="rack-2")
    assert answer["Location"] == reverse("hosts:detail", args=[host.pk])
    drain()
    host.refresh_from_db()
    assert host.state == "ready" and host.vcpus > 0
    assert Operation.objects.get(arguments__host=str(host.pk)).state == "succeeded"
    assert AuditEvent.objects.filter(action="host.add", actor=world.people["root"]).exists()


def test_a_host_on_an_endpoint_that_was_set_up_by_hand(world: World, operator: Client, tmp_path) -> None:
    form = {"name": "rack-2", "driver": "simulated", "uri": f"simulated://{tmp_path}/rack-2", "mode": "managed",
            "private_key": "KEEP ME SECRET", "host_key": ""}
    assert operator.post(reverse("admin:hosts_endpoint_add"), form).status_code == 302
    endpoint = Endpoint.objects.get(name="rack-2")
    for form in ({"name": "rack-2"}, {"name": "rack-2", "address": "rack-2", "endpoint": endpoint.pk}):
        assert "Give an address, or choose an endpoint" in operator.post(
            reverse("admin:hosts_host_add"), form).content.decode()
    operator.post(reverse("admin:hosts_host_add"), {"name": "rack-2", "endpoint": endpoint.pk, "pool_path": "/srv/mains"})
    drain()
    host = Host.objects.get(name="rack-2")
    assert (host.state, host.endpoint, host.pools.get().path) == ("ready", endpoint, "/srv/mains")
    assert AuditEvent.objects.filter(action="endpoint.create", actor=world.people["root"]).exists()
    assert not AuditEvent.objects.filter(after__icontains="KEEP ME SECRET").exists()


@pytest.mark.parametrize(("field", "changes"), [("name", {"name": "sim-1"}), ("address", {"address": "a b"}),
                                                ("pool_path", {"pool_path": "x"}), ("host_key", {"host_key": "x"})])
def test_what_the_verb_refuses_is_said_beside_its_field(world: World, operator: Client, field: str,
                                                        changes: dict[str, str]) -> None:
    answer = operator.post(reverse("admin:hosts_host_add"), {"name": "rack-2", "address": "root@10.99.7.12"} | changes)
    assert answer.status_code == 200 and list(answer.context["form"].errors) == [field]
    assert Host.objects.count() == 1


def test_the_zone_is_asked_for_where_there_are_several(world: World, operator: Client) -> None:
    add, other = reverse("admin:hosts_host_add"), Zone.objects.create(region=world.region, slug="b", name="B")
    form = {"name": "rack-2", "address": "root@10.99.7.12"}
    assert list(operator.post(add, form).context["form"].errors) == ["zone"]
    assert operator.post(add, form | {"zone": other.pk}).status_code == 302
    assert Host.objects.get(name="rack-2").zone == other


def test_a_stored_private_key_is_never_shown_and_survives_an_edit(world: World, operator: Client, tmp_path) -> None:
    endpoint = Endpoint.objects.create(name="e", driver="simulated", uri="simulated:memory/e", private_key="KEEP ME SECRET")
    address = reverse("admin:hosts_endpoint_change", args=[endpoint.pk])
    assert "KEEP ME" not in operator.get(address).content.decode()
    operator.post(address, {"name": "renamed", "driver": "simulated", "uri": endpoint.uri, "mode": "managed",
                            "private_key": "", "host_key": ""})
    endpoint = Endpoint.objects.get(pk=endpoint.pk)
    assert (endpoint.name, endpoint.private_key) == ("renamed", "KEEP ME SECRET")


@pytest.fixture
def onlooker(world: World) -> Client:
    """Staff that was given Django's permissions to look at everything, and no more."""
    person = world.people["vera"]
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(person)
    return client


def test_who_may_only_look_acts_by_no_bulk_action(world: World, onlooker: Client, operator: Client) -> None:
    hosts, host = reverse("admin:hosts_host_changelist"), Host.objects.first()
    sent = {"action": "enter_maintenance", "_selected_action": [host.pk]}
    assert onlooker.get(hosts).status_code == 200 and onlooker.get(reverse("admin:hosts_host_add")).status_code == 403
    onlooker.post(hosts, sent)
    assert not Host.objects.get(pk=host.pk).is_in_maintenance
    operator.post(hosts, sent)
    assert Host.objects.get(pk=host.pk).is_in_maintenance


def test_what_is_deleted_in_a_bulk_is_audited_row_by_row(world: World, operator: Client) -> None:
    rows = [Endpoint.objects.create(name=name, driver="simulated", uri=f"simulated:memory/{name}") for name in "ab"]
    operator.post(reverse("admin:hosts_endpoint_changelist"), {
        "action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"})
    assert not Endpoint.objects.filter(pk__in=[row.pk for row in rows]).exists()
    assert AuditEvent.objects.filter(action="endpoint.delete", actor=world.people["root"]).count() == 2


def test_a_project_is_put_below_none_of_another_organization(world: World, operator: Client) -> None:
    rival = create_organization("Rival", owner=world.people["root"], actor=None)
    form = {"name": "spy", "organization": rival.pk, "parent": world.project.pk}
    for inline in ("projectuserbinding_set", "projectgroupbinding_set", "quotas"):
        form |= {f"{inline}-TOTAL_FORMS": 0, f"{inline}-INITIAL_FORMS": 0}
    operator.post(reverse("admin:tenants_project_add"), form)
    assert not Project.objects.filter(name="spy").exists()
    operator.post(reverse("admin:tenants_project_add"), form | {"organization": world.project.organization_id})
    assert Project.objects.get(name="spy").parent == world.project
