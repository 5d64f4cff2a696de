"""The page of one resource, whatever its kind: related things, timeline, cost, danger, editing, and what it asks the database."""
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.instances import keys
from compute.instances.models import Instance
from compute.instances.operations import act
from compute.instances.timeline import ROWS_A_PAGE
from compute.network.models import FloatingIp, Port, SecurityGroup, Subnet, Vpc
from portal.kernel import audit
from portal.kernel.describing import update_resource
from portal.kernel.models import AuditEvent, Operation, Resource
from storage.models import Image, Volume
from tests.network.networked import Networked
from tests.pages.test_network_pages import NASTY, order
from tests.world import drain

# Beside what the frame around every page asks: who it is, what may be seen, what goes on.
MOST_QUERIES = 8
SPACES = {"instance": "instances", "volume": "volumes", "image": "images", "vpc": "vpcs", "security_group": "security_groups",
          "floating_ip": "floating_ips", "ssh_key": "ssh_keys"}
INNER = {"subnet": "subnets", "port": "ports"}  # shown on the page of their VPC


@pytest.fixture
def scene(networked: Networked) -> dict[str, Resource]:
    """An instance with everything that belongs to it, by kind."""
    world = networked.world
    key, _private = keys.generate_key(world.project, world.region, name="laptop", actor=world.people["alice"])
    instance = order(networked, has_floating_ip=True)
    Instance.objects.filter(pk=instance.pk).update(public_keys=[key.public_key])
    port = Port.objects.select_related("subnet__vpc").get(domain=instance.pk)
    return {"instance": instance, "volume": Volume.objects.get(), "image": world.image, "vpc": port.subnet.vpc,
            "security_group": SecurityGroup.objects.get(ports=port), "floating_ip": FloatingIp.objects.get(), "ssh_key": key,
            "subnet": port.subnet, "port": port}


def show(browser: Any, row: Resource, who: str = "alice", **query: str) -> str:
    response = browser(who).get(reverse(f"{SPACES[row.kind]}:detail", args=[row.pk]), query)
    assert response.status_code == 200, (row.kind, query)
    return response.content.decode()


def asked_by(client: Any, path: str, **query: str) -> list[str]:
    """The statements of a page, without those of the frame around it."""
    with CaptureQueriesContext(connection) as frame:
        assert client.get(reverse("api_keys:list")).status_code == 200
    shared = [asked["sql"][:60] for asked in frame]
    with CaptureQueriesContext(connection) as page:
        assert client.get(path, query).status_code == 200
    found = [asked["sql"][:160] for asked in page]
    for sql in shared:
        found = next((found[:n] + found[n + 1:] for n, one in enumerate(found) if one[:60] == sql), found)
    return found


def test_every_tab_answers_within_its_queries_and_leads_to_what_belongs_to_it(scene, browser) -> None:
    instance, client = scene["instance"], browser("alice")
    there = reverse("instances:detail", args=[instance.pk])
    for kind, space in SPACES.items():
        path = reverse(f"{space}:detail", args=[scene[kind].pk])
        tabs = re.findall(r'href="\?tab=(\w+)"', client.get(path).content.decode())
        for tab in ["", *dict.fromkeys(tabs)]:
            asked = asked_by(client, path, tab=tab)
            assert len(asked) <= MOST_QUERIES, (kind, tab, asked)
        assert kind == "instance" or there in client.get(path, {"tab": "instances"}).content.decode(), kind
    first = client.get(there).content.decode()
    for kind in ("volume", "image", "vpc", "ssh_key"):
        assert reverse(f"{SPACES[kind]}:detail", args=[scene[kind].pk]) in first, kind
    network = client.get(there, {"tab": "network"}).content.decode()
    for kind in ("security_group", "floating_ip"):
        assert reverse(f"{SPACES[kind]}:detail", args=[scene[kind].pk]) in network, kind


def test_the_create_page_stays_within_its_queries(scene, browser) -> None:
    asked = asked_by(browser("alice"), reverse("instances:create"))
    assert len(asked) <= MOST_QUERIES, asked


def test_deleting_says_all_that_it_does(scene, browser) -> None:
    address = scene["floating_ip"].address or FloatingIp.objects.select_related("allocation").get().address
    asked = browser("alice").post(reverse("instances:purge", args=[scene["instance"].pk])).content.decode()
    for text in (show(browser, scene["instance"]), asked):
        assert "1 volume of 1 GiB is deleted with all data on it." in text
        assert f"The floating IP {address} stays yours, and goes on costing ¥" in text
        assert "Billing of the instance and its volumes stops at once." in text
    danger = show(browser, scene["instance"])
    assert 'data-confirm-name="web"' in danger
    in_use = show(browser, scene["vpc"])
    assert "1 port is in it." in in_use and 'data-confirm-name="default"' not in in_use
    assert "An instance is reached by it: disassociate it first." in show(browser, scene["floating_ip"])
    assert "The default group stays" in show(browser, scene["security_group"])


def test_the_cost_of_an_instance_is_that_of_its_parts_by_meter(scene, browser) -> None:
    text = show(browser, scene["instance"], tab="cost")
    assert "Instance, running" in text and "web root" in text and "¥0.36" in text
    assert "about ¥263.53 in a month of 730 hours" in text  # (0.36 + 0.001) × 730
    assert "Instance, running" not in show(browser, scene["volume"], tab="cost")
    assert "Floating IP, attached" in show(browser, scene["floating_ip"], tab="cost")


# -- the timeline --

def test_the_timeline_tells_operations_and_acts_as_one(scene, browser) -> None:
    instance, world_alice = scene["instance"], AuditEvent.objects.exclude(actor=None).first().actor
    update_resource(instance, actor=world_alice, name="shop")
    act(instance, "stop", actor=world_alice)
    drain()
    text = show(browser, instance, tab="timeline")
    places = [text.index(word) for word in ("Stop instance", "Change instance", "Name: web → shop", "Create instance</a>")]
    assert places == sorted(places), "newest first"
    assert text.count("Stop instance") == 1, "an act that began an operation is told by the operation"


def test_the_timeline_goes_on_where_the_page_before_ended(scene, browser) -> None:
    instance = scene["instance"]
    for number in range(ROWS_A_PAGE + 3):
        audit.record("instance.update", instance, actor=None, before={"name": f"n{number}"}, after={"name": f"n{number + 1}"})
    seen, query = [], {"tab": "timeline"}
    for _page in range(2):
        text = show(browser, instance, **query)
        seen += re.findall(r"Name: n\d+ → n(\d+)", text)
        older = re.search(r"before=([^&\"]+)", text)
        query |= {"before": re.sub("%([0-9A-F]{2})", lambda hit: chr(int(hit[1], 16)), older[1])} if older else {}
    assert seen == [str(number) for number in range(ROWS_A_PAGE + 3, 0, -1)]
    assert "n32 → n33" in show(browser, instance, tab="timeline", before="nonsense"), "the first page"


def test_who_may_not_see_usage_or_more_is_told_so(scene, browser) -> None:
    for kind in SPACES:
        assert browser("mallory").get(reverse(f"{SPACES[kind]}:detail", args=[scene[kind].pk])).status_code == (
            200 if kind == "image" else 404), kind
    public = browser("mallory").get(reverse("images:detail", args=[scene["image"].pk])).content.decode()
    assert "Acme" not in public, "whose project a public image lies in is nobody else's business"
    for kind in set(SPACES) - {"image"}:
        assert "Your role does not include this" in show(browser, scene[kind], "vera"), kind


# -- editing --

@pytest.mark.parametrize("who", ["alice", "vera"])
def test_everything_is_renamed_described_and_tagged_by_one_form(scene, browser, who: str) -> None:
    client = browser(who)
    for kind, space in (SPACES | INNER).items():
        row = type(scene[kind]).objects.get(pk=scene[kind].pk)
        path = reverse(f"{space}:edit", args=[row.pk])
        sent = {"name": f"new {kind}", "description": "what it is for", "tags": "env: prod\nteam = a",
                "version": row.version}
        answer = client.post(path, sent)
        assert answer.status_code == (302 if who == "alice" else 403), kind
        row = Resource.objects.get(pk=row.pk)
        if who == "alice":
            assert (row.name, row.description) == (f"new {kind}", "what it is for"), kind
            assert row.tags == {"env": "prod", "team": "a"}
            assert AuditEvent.objects.filter(resource=row, action=f"{kind}.update").count() == 1
            assert client.get(answer["Location"]).status_code == 200
        else:
            assert row.name != f"new {kind}"


def test_a_change_by_somebody_else_is_shown_before_it_is_overwritten(scene, browser) -> None:
    row, client = scene["volume"], browser("alice")
    path = reverse("volumes:edit", args=[row.pk])
    opened = client.get(path).context["form"]["version"].value()
    update_resource(row, actor=None, name="theirs")
    mine = {"name": "mine", "description": "", "tags": "", "version": opened}
    refused = client.post(path, mine)
    text = refused.content.decode()
    assert refused.status_code == 412 and "Somebody changed this meanwhile" in text and "theirs" in text
    assert Resource.objects.get(pk=row.pk).name == "theirs"
    again = refused.context["form"]["version"].value()
    assert client.post(path, mine | {"version": again}).status_code == 302
    assert Resource.objects.get(pk=row.pk).name == "mine"


BAD_WORDS = [("name", ""), ("name", NASTY), ("description", "x" * 501), ("tags", ": x"), ("tags", f"{'k' * 61}: x"),
             ("tags", f"k: {'x' * 201}"), ("tags", "\n".join(f"k{n}: x" for n in range(51))), ("tags", "a: \x07"),
             ("version", "x"), ("version", "")]


def test_bad_words_are_refused_beside_their_field(scene, browser) -> None:
    row, client = scene["vpc"], browser("alice")
    good = {"name": "n", "description": "", "tags": "", "version": Resource.objects.get(pk=row.pk).version}
    for name, value in BAD_WORDS:
        response = client.post(reverse("vpcs:edit", args=[row.pk]), good | {name: value})
        assert (response.status_code, list(response.context["form"].errors)) == (400, [name]), value
    assert Resource.objects.get(pk=row.pk).name == row.name


def test_saving_nothing_new_changes_nothing(scene, browser) -> None:
    row = Resource.objects.get(pk=scene["subnet"].pk)
    update_resource(Subnet.objects.get(pk=row.pk), actor=None, tags={"a=b": "c: d", "e": ""})
    form = browser("alice").get(reverse("subnets:edit", args=[row.pk])).context["form"]
    sent = {name: form[name].value() for name in ("name", "description", "tags", "version")}
    before = Resource.objects.get(pk=row.pk)
    assert browser("alice").post(reverse("subnets:edit", args=[row.pk]), sent | {
        "tags": sent["tags"].replace("\n", "\r\n")}).status_code == 302
    assert Resource.objects.get(pk=row.pk).version == before.version


def test_rest_changes_what_the_pages_change(scene, networked: Networked) -> None:
    for kind, path in (("volume", "volumes"), ("image", "images"), ("ssh_key", "ssh-keys")):
        address = f"/api/v1/{path}/{scene[kind].pk}/"
        answer = networked.api().patch(address, {"name": "renamed", "tags": {"a": "b"}}, format="json")
        assert (answer.status_code, answer.json()["name"]) == (200, "renamed"), answer.content
        assert networked.api("vera").patch(address, {"name": "x"}, format="json").status_code == (
            403), kind
    assert networked.api("mallory").get(f"/api/v1/images/{scene['image'].pk}/").status_code == 200, "it is public"
    assert Image.objects.get().tags == {"a": "b"} and Vpc.objects.exists() and Operation.objects.exists()
