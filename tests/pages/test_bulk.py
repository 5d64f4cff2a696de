"""Verbs on many rows: each is admitted by itself, and the answer says of each what became of it."""
import re
import uuid
from html import unescape

import pytest
from django.urls import reverse

from compute.instances.models import Instance, SshKey
from portal.kernel.models import AuditEvent, Operation
from tenants import operations as tenants
from tenants.bulk import MOST_AT_ONCE
from tenants.models import ApiKey
from tenants.roles import bind
from tests.network.networked import Networked
from tests.pages.listed import instance
from tests.world import World

START, DELETE, PURGE = (f"/instances/bulk/{verb}/" for verb in ("start", "delete", "purge"))


def outcomes(response) -> list[str]:
    """One line per row, as a person reads it."""
    text = response.content.decode().partition('class="outcomes"')[2].partition("</ul>")[0]
    lines = [re.sub(r"<[^>]+>", " ", line) for line in text.split("<li")[1:]]
    return [" ".join(unescape(line.partition(">")[2]).split()) for line in lines]


def test_each_row_is_admitted_by_itself(world: World, browser) -> None:
    stopped, running = instance(world, "stopped"), instance(world, "running", state="running")
    theirs, absent = instance(world, "secret", project=world.rival_project), uuid.uuid4()
    response = browser("oscar").post(START, {"id": [str(stopped.pk), str(running.pk), str(theirs.pk), str(absent)]})
    found = outcomes(response)
    assert response.status_code == 200 and len(found) == 4 and "1 of 4 accepted" in response.content.decode()
    operation = Operation.objects.get(kind="instance.start")
    assert found[0] == "stopped Progress" and reverse("operations:detail", args=[operation.pk]) in response.content.decode()
    assert found[1].startswith("running ") and "Running" in found[1]
    hidden, missing = (line.split(" ", 1)[1] for line in found[2:])
    assert hidden == missing and "secret" not in response.content.decode()
    assert operation.target_id == stopped.pk and operation.actor == world.people["oscar"]


def test_who_may_nowhere_is_refused_as_a_whole(world: World, browser) -> None:
    one = instance(world, "web")
    assert browser("vera").post(START, {"id": str(one.pk)}).status_code == 403
    assert browser("oscar").post(DELETE, {"id": str(one.pk), "confirmed": "1", "typed_count": "1"}).status_code == 403
    assert not Operation.objects.filter(target=one).exists()


def test_who_may_elsewhere_is_refused_row_by_row_and_it_is_audited(world: World, browser) -> None:
    other = tenants.create_project(world.project.organization, "other", actor=None)
    bind(world.people["vera"], "operator", other)
    own, seen = instance(world, "own", project=other), instance(world, "seen")
    found = outcomes(browser("vera").post(START, {"id": [str(own.pk), str(seen.pk)]}))
    assert found[0] == "own Progress" and "role does not include" in found[1]
    assert AuditEvent.objects.filter(resource=seen, actor=world.people["vera"]).exclude(result="ok").exists()
    assert not Operation.objects.filter(target=seen).exists()


def test_what_cannot_be_undone_wants_the_count(world: World, browser) -> None:
    rows = [instance(world, "a"), instance(world, "b"), instance(world, "c", state="stopping")]
    client, ids = browser("alice"), [str(row.pk) for row in rows]
    question = client.post(PURGE, {"id": ids})
    assert "Type 3 to confirm" in question.content.decode()
    assert outcomes(question)[:2] == ["a", "b"] and "Not possible while" in outcomes(question)[2]
    wrong = client.post(PURGE, {"id": ids, "confirmed": "1", "typed_count": "2"})
    assert wrong.status_code == 400 and "Type 3." in wrong.content.decode()
    assert not Operation.objects.filter(kind="instance.delete").exists()
    done = client.post(PURGE, {"id": ids, "confirmed": "1", "typed_count": "3"})
    assert "2 of 3 accepted" in done.content.decode()
    assert set(Operation.objects.filter(kind="instance.delete").values_list("target__name", flat=True)) == {"a", "b"}


def test_by_script_the_same_is_a_fragment_that_makes_pages_fetch_again(world: World, browser) -> None:
    one = instance(world, "web")
    asked = browser("oscar").post("/instances/bulk/stop/", {"id": str(one.pk)}, headers={"HX-Request": "true"})
    assert "<html" not in asked.content.decode() and "HX-Trigger" not in asked and "None of these" in asked.content.decode()
    done = browser("oscar").post(START, {"id": str(one.pk)}, headers={"HX-Request": "true"})
    assert done["HX-Trigger"] == "mains:changed" and "data-bulk-done" in done.content.decode()


@pytest.mark.parametrize("ids", [[], ["x"], ["1; DROP"], [str(uuid.uuid4()) for _ in range(MOST_AT_ONCE + 1)]])
def test_no_rows_no_ids_and_too_many_are_refused(world: World, browser, ids: list[str]) -> None:
    assert browser("oscar").post(START, {"id": ids}).status_code == 400


def test_the_same_row_twice_is_one_row(world: World, browser) -> None:
    one = instance(world, "web")
    assert len(outcomes(browser("oscar").post(START, {"id": [str(one.pk), str(one.pk).upper()]}))) == 1


def test_a_refusal_takes_nothing_of_the_others_back(networked: Networked, browser) -> None:
    used, spare = networked.default_group(), networked.group(name="spare")
    networked.port(security_groups=[str(used.pk)])
    found = outcomes(browser("alice").post("/security-groups/bulk/delete/", {
        "id": [str(used.pk), spare["id"]], "confirmed": "1"}))
    assert "accepted" not in found[0] and found[1] == "spare"
    assert networked.get(f"security-groups/{spare['id']}").status_code == 404
    assert networked.get(f"security-groups/{used.pk}").status_code == 200


def test_addresses_and_networks_go_by_the_count(networked: Networked, browser) -> None:
    idle, net = networked.floating_ip(), networked.vpc()
    client = browser("alice")
    answers = [client.post(f"/{path}/bulk/{verb}/", {"id": one["id"], "confirmed": "1", "typed_count": "1"})
               for path, verb, one in (("floating-ips", "release", idle), ("vpcs", "delete", net))]
    assert all("1 accepted" in answer.content.decode() for answer in answers)
    assert networked.get(f"floating-ips/{idle['id']}").status_code == networked.get(f"vpcs/{net['id']}").status_code == 404


def test_keys_of_both_kinds(world: World, browser) -> None:
    key = SshKey.objects.create(project=world.project, region=world.region, name="k", public_key="ssh-rsa x", fingerprint="f")
    own, _text = tenants.create_api_key(world.people["oscar"], name="ci", actor=world.people["oscar"])
    others, _text = tenants.create_api_key(world.people["alice"], name="hers", actor=world.people["alice"])
    client = browser("oscar")
    assert "1 accepted" in client.post("/ssh-keys/bulk/delete/", {"id": str(key.pk), "confirmed": "1"}).content.decode()
    answer = client.post("/api-keys/bulk/revoke/", {"id": [str(own.pk), str(others.pk)], "confirmed": "1", "typed_count": "2"})
    assert "1 of 2 accepted" in answer.content.decode() and "hers" not in answer.content.decode()
    assert list(ApiKey.objects.filter(revoked_at=None)) == [others]


def test_verbs_are_offered_to_whom_may_use_them(world: World, browser) -> None:
    instance(world, "web")
    operating = ["start", "stop", "reboot", "pause", "suspend", "resume", "unrescue"]
    offered = {name: re.findall(r'formaction="/instances/bulk/(\w+)/"', browser(name).get("/instances/").content.decode())
               for name in ("vera", "oscar", "alice")}
    assert offered == {"vera": [], "oscar": operating, "alice": [*operating, "delete"]}
    assert "data-bulk-item" not in browser("vera").get("/instances/").content.decode()


def test_the_menu_of_a_row_says_what_is_possible_now(world: World, browser) -> None:
    one = instance(world, "web")
    path = reverse("instances:menu", args=[one.pk])
    text = browser("oscar").get(path).content.decode()
    assert "instances/" in text and text.count("Not possible while") >= 2 and "Your role does not include this." in text
    Instance.objects.filter(pk=one.pk).update(state="running")
    assert browser("oscar").get(path).content.decode().count("Not possible while") < text.count("Not possible while")
    assert browser("mallory").get(path).status_code == 404
