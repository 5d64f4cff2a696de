"""The whole way by REST alone, on a real guest: create → console ticket → stop → usage → delete; nothing stays."""
from datetime import datetime
from decimal import Decimal

import pytest

from tests.stories.cloud import LabCloud
from tests.stories.portal import Portal

pytestmark = pytest.mark.lab


def test_an_instance_lives_is_billed_and_leaves_nothing(portal: Portal, cloud: LabCloud) -> None:
    before = cloud.census()
    created = portal.finish(portal.create("rest-story"))
    assert created["state"] == "succeeded", created
    pk = created["target"]["id"]
    assert created["result"]["instances"] == [pk] and pk in cloud.running()
    status, ticket = portal.api("POST", f"instances/{pk}/console/", {"type": "vnc"})
    assert status == 200 and ticket["ticket"] not in ticket["ws"]
    status, stopping = portal.api("POST", f"instances/{pk}/actions/stop/", {})
    assert status == 202 and portal.finish(stopping)["state"] == "succeeded"
    assert pk not in cloud.running()
    rows = portal.api("GET", f"usage/?resource={pk}")[1]["results"]
    running = next(row for row in rows if row["meter"] == "instance.running")
    seconds = (datetime.fromisoformat(running["end"]) - datetime.fromisoformat(running["start"])).total_seconds()
    assert abs(Decimal(running["quantity"]) - Decimal(str(seconds))) < Decimal("0.01")
    prices = portal.api("GET", "prices/")[1]["results"]
    price = next(row for row in prices if (row["meter"], row["sku"]) == ("instance.running", "nano"))
    owed = Decimal(running["quantity"]) * Decimal(price["price_per_hour"]["amount"]) / 3600
    assert abs(Decimal(running["amount"]["amount"]) - owed) < Decimal("0.000001")
    status, deleting = portal.api("DELETE", f"instances/{pk}/?purge=true")
    assert status == 202 and portal.finish(deleting)["state"] == "succeeded"
    assert portal.api("GET", f"instances/{pk}/")[0] == 404
    assert cloud.census() == before
    assert not [row for row in portal.api("GET", f"usage/?resource={pk}")[1]["results"] if row["end"] is None]


@pytest.mark.parametrize(("changes", "field"), [
    ({"name": "<script>alert(1)</script>"}, "name"), ({"name": "../up"}, "name"), ({"name": "two\nlines"}, "name"),
    ({"name": "it's \"quoted\""}, "name"), ({"name": "x" * 10_000}, "name"), ({"name": 7}, "name"),
    ({"name": "a\u0000b"}, "name"), ({"root_disk_gib": "many"}, "root_disk_gib"),
    ({"root_disk_gib": 0}, "root_disk_gib"),
    ({"type": "00000000-0000-4000-8000-000000000000"}, "type"), ({"image": "../../etc/passwd"}, "image"),
    ({"vmid": "1"}, "vmid"), ({"host": "other"}, "host"), ({"user_data": "rm -rf /"}, "user_data"),
    ({"project": "rival"}, "project"), ({"ssh_keys": ["nonsense"]}, "ssh_keys")])
def test_bad_input_names_its_field_and_creates_nothing(portal: Portal, changes: dict, field: str) -> None:
    before = portal.query("SELECT count(*) FROM kernel_resource")
    if changes.get("project") == "rival":
        changes = {"project": portal.demo["rival"]["project"]}
    body = {"project": portal.demo["tenant"]["project"], "region": portal.demo["region"], "image": portal.demo["image"],
            "type": portal.demo["instance_type"], "name": "bad", **changes}
    status, problem = portal.api("POST", "instances/", body)
    assert 400 <= status < 500, problem
    assert any(name.startswith(field) for name in problem["errors"]), problem
    assert portal.query("SELECT count(*) FROM kernel_resource") == before


def test_a_key_repeated_gives_one_instance_and_another_body_422(portal: Portal) -> None:
    key = {"Idempotency-Key": "story-1"}
    body = {"project": portal.demo["tenant"]["project"], "region": portal.demo["region"], "image": portal.demo["image"],
            "type": portal.demo["instance_type"], "name": "once"}
    first, second = (portal.api("POST", "instances/", body, headers=key) for _turn in range(2))
    assert first[0] == second[0] == 202 and first[1]["id"] == second[1]["id"]
    assert portal.api("POST", "instances/", body | {"name": "twice"}, headers=key)[0] == 422
    portal.finish(first[1])
    portal.finish(portal.api("DELETE", f"instances/{first[1]['target']['id']}/?purge=true")[1])


def test_the_rival_sees_nothing(portal: Portal) -> None:
    created = portal.finish(portal.create("mine"))
    pk = created["target"]["id"]
    for path in (f"instances/{pk}/", f"operations/{created['id']}/"):
        assert portal.api("GET", path, who="rival")[0] == 404
    assert portal.api("POST", f"instances/{pk}/console/", {"type": "vnc"}, who="rival")[0] == 404
    assert portal.api("DELETE", f"instances/{pk}/?purge=true", who="rival")[0] == 404
    assert portal.api("GET", "instances/", who="rival")[1]["results"] == []
    portal.finish(portal.api("DELETE", f"instances/{pk}/?purge=true")[1])
