"""The program against the real portal on the simulated driver: tenants' names, refusals, an instance from end to end."""
import shlex
from collections.abc import Iterator

import pytest

from compute.instances.models import Instance
from compute.instances.spellings import Known, cli
from tenants.operations import create_api_key
from tests.billing.bills import Used, invoice
from tests.portal_server import serving
from tests.world import World, drain, make_world


@pytest.fixture
def world(transactional_db: None, tmp_path, settings) -> World:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_world(tmp_path)


@pytest.fixture
def site(world: World, mains, monkeypatch) -> Iterator[None]:
    with serving() as address:
        monkeypatch.setenv("MAINS_URL", f"http://{address}")
        be(world, "alice", monkeypatch)
        yield


def be(world: World, who: str, monkeypatch) -> None:
    person = world.people[who]
    monkeypatch.setenv("MAINS_API_KEY", create_api_key(person, name="cli", actor=person)[1])


def test_everything_can_be_listed_and_shown(site: None, mains, program) -> None:
    for kind, found in program.RESOURCES.items():
        # One's own, shown by `mains me`; of one organization or invoice, which is asked for.
        if kind in ("membership", "organization-quota", "invoice-line", "charge", "budget-alarm",
                    "schedule-run", "console-session", "console-link", "launch-template-version") or "list" not in found.verbs:
            continue
        said = mains(kind, "list", "--json")
        expected = 3 if kind in ("host", "pool", "fabric", "address-pool") else 0
        assert said.code in {0, expected}, (kind, said.err)
        if said.code == 0 and found.verbs["list"].is_paged:
            assert mains(kind, "list", "--limit", "2").code == 0
            key = {"fabric": "region", "balance": "organization"}.get(kind, "id")
            for row in [row for row in said.json if row[key]][:1]:  # built-in roles have none
                if "show" in found.verbs:
                    words = ["--organization", row[key]] if key == "organization" else [row[key]]
                    shown = mains(kind, "show", *words, "--json").json
                    assert all(shown[name] == row[name] for name in {"id", key} & row.keys())


def test_an_instance_from_end_to_end(site: None, mains, world: World, monkeypatch) -> None:
    words = ("instance", "create", "web", "--type", "small", "--image", world.image.name)
    assert "hourly" in mains(*words, "--project", "web", "--dry-run").out and not Instance.objects.exists()
    created = mains(*words, "--project", "web", "--json").json
    assert created["kind"] == "instance.create" and mains("operation", "list", "--json").json[0]["id"] == created["id"]
    drain()
    assert mains("operation", "wait", created["id"]).code == 0
    assert "running" in mains("instance", "show", "web").out
    be(world, "mallory", monkeypatch)
    for said in (mains("instance", "show", "web"), mains("instance", "show", created["target"]["id"]),
                 mains("instance", "delete", created["target"]["id"], "--yes"), mains("operation", "wait", created["id"])):
        assert said.code == 3 and said.out == ""
    be(world, "vera", monkeypatch)
    assert mains("instance", "stop", "web").code == 3
    be(world, "alice", monkeypatch)
    assert mains("instance", "update", "web", "--description", "front", "--tag", "env=prod").code == 0
    assert mains("instance", "list", "--tag", "env=prod", "-q").out.split() == [created["target"]["id"]]
    assert mains("instance", "delete", "web", "--yes").code == 0
    drain()
    assert mains("instance", "list", "--json").json == []


def test_an_invoice_with_its_lines_and_charges(site: None, mains, world: World) -> None:
    made = invoice(world.project.organization, Used(project=world.project, region=world.region, seconds=7200), number="T-1")
    assert mains("invoice", "show", "T-1", "--json").json["id"] == str(made.pk)
    (line,) = mains("invoice-line", "list", "--invoice", "T-1", "--json").json
    assert (line["position"], line["amount"]["amount"]) == (1, "0.72")
    assert [one["kind"] for one in mains("charge", "list", "--invoice", "T-1", "--line", "1", "--json").json] == ["usage"]
    ours = ("--organization", world.project.organization.name)
    assert mains("billing-profile", "set", *ours, "--country", "BE").code == 0
    assert mains("billing-profile", "show", *ours, "--json").json["country"] == "BE"


def test_what_the_page_shows_as_a_command_orders_the_same(site: None, mains, world: World) -> None:
    order = world.order(name="two words; x", zone=world.zone, description="-dash", tags={"env": "prod & more"}, root_disk_gib=3,
                        user_data="#!/bin/sh\necho 'hi'\n", count=2)
    words = shlex.split(cli(order, Known(projects=[world.project], images=[world.image])).replace("\\\n", ""))
    printed, command = words[:words.index("mains")], words[words.index("mains") + 1:]
    assert printed[:2] == ["printf", "%s"] and printed[-1] == "|"
    assert mains(*command, stdin=printed[2]).code == 3  # a name does not take a semicolon
    said = mains(*[word.replace("; x", "") for word in command], "--json", stdin=printed[2])
    assert said.code == 0, said.err
    first, second = Instance.objects.order_by("name")
    assert first.name.startswith("two words") and first.description == "-dash" and first.tags == {"env": "prod & more"}
    assert (first.user_data, first.zone, first.type, first.image) == (order.user_data, world.zone, world.type, world.image)
    assert first.project == second.project == world.project
