"""Operators look after hosts on pages and by REST; nobody else knows that there are hosts."""
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from compute.hosts import obstacles
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Discovered, Host
from compute.hosts.operations import preparations
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tests.world import World, drain

from .conftest import AddSimulated

Browser = Callable[[str], Client]


@pytest.fixture
def root(world: World) -> APIClient:
    client = APIClient()
    client.force_login(world.people["root"])
    return client


def instance_on(world: World) -> Instance:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)


def text_of(client: Client, view: str, *args: object, **query: str) -> str:
    answer = client.get(reverse(view, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_shows_state_claims_instances_and_chassis(world: World, add: AddSimulated, browser: Browser) -> None:
    instance_on(world)
    Host.objects.filter(pk=add(refuses="login").pk).update(is_in_maintenance=True)
    page = text_of(browser("root"), "hosts:list")
    for said in ("sim-1", "rack-2", "Ready", "Error", "in maintenance", "Login refused", "1 / 256", "256 MiB / 255.5 GiB",
                 "<code>sim-1</code>", "public network", "What to do"):
        assert said in page, said
    assert "rack-2" not in text_of(browser("root"), "hosts:list", name="SIM")
    assert "sim-1" not in text_of(browser("root"), "hosts:list", state="error")
    assert "Nothing matches" in text_of(browser("root"), "hosts:list", name="nobody")


def test_a_host_shows_what_it_is_what_runs_there_and_what_was_found(world: World, browser: Browser) -> None:
    instance = instance_on(world)
    Discovered.objects.create(host=world.host, kind="domain", key="k", name="by-hand", last_seen_at=database_now())
    page = text_of(browser("root"), "hosts:detail", world.host.pk)
    for said in ("<h1>sim-1</h1>", instance.name, "by-hand", "/pool", "simulated 1", "QEMU", "7.2.0", "Open vSwitch",
                 "Prepare host", "Succeeded", "Take no new instances", "in the kernel", str(world.host.pk)):
        assert said in page, said
    fragment = browser("root").get(reverse("hosts:detail", args=[world.host.pk]), headers={"HX-Request": "true"})
    assert b"<html" not in fragment.content and b'id="host"' in fragment.content


def test_a_host_in_error_says_what_to_do_and_its_button_helps(world: World, add: AddSimulated, browser: Browser) -> None:
    host = add(refuses="login")
    assert "authorized_keys" in text_of(browser("root"), "hosts:detail", host.pk)
    SimulatedHost(host.endpoint.uri).set_up(refuses="", versions={"ovs": None, "ovn": None})
    answer = browser("root").post(reverse("hosts:prepare", args=[host.pk]))
    assert answer["Location"] == reverse("hosts:detail", args=[host.pk])
    assert "Preparing" in text_of(browser("root"), "hosts:detail", host.pk)
    drain()
    page = text_of(browser("root"), "hosts:detail", host.pk)
    assert "Ready" in page and str(obstacles.WithoutNetwork.text) in page and "none" in page


def test_maintenance_is_switched_on_and_off(world: World, browser: Browser) -> None:
    for sent, wanted in (({"enabled": "1"}, True), ({}, False)):
        browser("root").post(reverse("hosts:maintenance", args=[world.host.pk]), sent)
        assert Host.objects.get(pk=world.host.pk).is_in_maintenance is wanted
    events = AuditEvent.objects.filter(action="host.maintenance", actor=world.people["root"]).order_by("at")
    assert [event.after["maintenance"] for event in events] == [True, False]


@pytest.mark.parametrize("name", ["alice", "vera", "mallory"])
def test_nobody_else_knows_of_hosts(world: World, browser: Browser, name: str) -> None:
    client = browser(name)
    for path in (reverse("hosts:list"), reverse("hosts:detail", args=[world.host.pk])):
        assert client.get(path).status_code == 404
    for page in ("prepare", "maintenance"):
        assert client.post(reverse(f"hosts:{page}", args=[world.host.pk])).status_code == 404
    assert client.post(reverse("host-list"), {"name": "x", "address": "y"}, content_type="application/json").status_code == 404
    home = text_of(client, "dashboard")
    assert reverse("hosts:list") not in home and "sim-1" not in home


def test_hosts_are_in_the_operators_navigation(world: World, browser: Browser) -> None:
    assert f'href="{reverse("hosts:list")}" aria-current="page"' in text_of(browser("root"), "hosts:list")


def test_a_host_by_rest(world: World, root: APIClient) -> None:
    instance_on(world)
    host = root.get(reverse("host-detail", args=[world.host.pk])).json()
    assert host["capacity"] == {"vcpu": 256, "memory_mib": 261632} and host["claimed"] == {"vcpu": 1, "memory_mib": 256}
    assert (host["chassis"], host["is_gateway"], host["state_reason"], host["advice"]) == ("sim-1", True, "", [])
    assert host["versions"]["ovn"] == "23.03.1"
    [listed] = root.get(reverse("host-list")).json()["results"]
    assert listed == host


def test_a_host_is_added_by_rest(world: World, root: APIClient, tmp_path) -> None:
    body = {"name": "rack-2", "address": f"simulated://{tmp_path}/rack-2"}
    answer = root.post(reverse("host-list"), body, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "host.prepare") and answer["Location"]
    drain()
    host = Host.objects.get(name="rack-2")
    assert root.get(answer["Location"]).json()["result"] == {"host": str(host.pk)} and host.state == "ready"
    for changes, field in (({}, "name"), ({"name": "rack-3", "address": "a b"}, "address"), ({"name": "rack-3", "x": 1}, "x")):
        refused = root.post(reverse("host-list"), body | changes, format="json")
        assert refused.status_code == 400 and list(refused.json()["errors"]) == [field]


def test_a_host_is_prepared_again_by_rest(world: World, root: APIClient) -> None:
    answer = root.post(reverse("host-prepare", args=[world.host.pk]))
    assert answer.status_code == 202
    drain()
    assert preparations(world.host).count() == 2 and preparations(world.host).first().state == "succeeded"
