"""API keys: where they reach, from where they are accepted, how they are rotated, and that nothing tells them twice."""
import zlib
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent, IdempotencyKey
from portal.kernel.secrets import digest
from tenants import operations
from tenants.models import ApiKey
from tenants.structure import move_project
from tests.cast import Cast

KEYS = "/api/v1/api-keys/"
ME = "/api/v1/me/"
FAR = "203.0.113.7"


def program(text: str) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def make(cast: Cast, **options) -> tuple[ApiKey, str]:
    return operations.create_api_key(cast.alice, name="ci", actor=cast.alice, **options)


# -- the text --

def test_the_checksum_is_that_of_the_text_so_scanners_need_no_look_up(cast: Cast) -> None:
    _key, text = make(cast)
    assert text.startswith("mns_") and int(text[-8:], 16) == zlib.crc32(text[:-8].encode())


@pytest.mark.parametrize("spoil", [
    lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), lambda text: text[:20] + "x" + text[21:], lambda text: text[4:],
    lambda text: "mns_" + "x" * 5000, lambda text: "mns_\0_" + text, lambda text: text.replace("mns", "mnt"), lambda text: "",
    lambda text: "mns_é" + text[5:]])
def test_what_is_no_key_is_refused_without_asking_the_database(cast: Cast, spoil) -> None:
    _key, text = make(cast)
    with CaptureQueriesContext(connection) as asked:
        assert operations.find_api_key(spoil(text)) is None
    assert len(asked) == 0
    with CaptureQueriesContext(connection) as asked:
        assert operations.find_api_key(text) is not None
    assert len(asked) == 1


def test_a_secret_that_is_not_the_keys_is_refused_though_its_checksum_is_right(cast: Cast) -> None:
    key, _text = make(cast)
    assert operations.find_api_key(operations.key_text(key.prefix.removeprefix("mns_"), "x" * 43)) is None


def test_neither_table_nor_trail_nor_idempotency_keeps_the_text(cast: Cast) -> None:
    client = cast.api("alice")
    made = client.post(KEYS, {"name": "ci"}, format="json", HTTP_IDEMPOTENCY_KEY="one")
    again = client.post(KEYS, {"name": "ci"}, format="json", HTTP_IDEMPOTENCY_KEY="one")
    assert made.json()["secret"] and again.json()["secret"] is None and again.json()["id"] == made.json()["id"]
    url = f"{KEYS}{made.json()['id']}/actions/rotate/"
    rotated = client.post(url, {"overlap_hours": 1}, format="json", HTTP_IDEMPOTENCY_KEY="two")
    replayed = client.post(url, {"overlap_hours": 1}, format="json", HTTP_IDEMPOTENCY_KEY="two")
    assert rotated.json()["secret"] and replayed.json()["secret"] is None and replayed["Idempotent-Replayed"] == "true"
    key = ApiKey.objects.get()
    kept = "".join(map(str, [*IdempotencyKey.objects.values(), *AuditEvent.objects.values(), *ApiKey.objects.values()]))
    for secret in (made.json()["secret"], rotated.json()["secret"]):
        assert secret not in kept and secret.rsplit("_", 1)[1] not in kept and digest(secret) in kept
    assert key.secret_hash == digest(rotated.json()["secret"]), "the replay rotated nothing"


# -- where it reaches --

def test_actions_and_areas_and_the_owners_rights_of_now_are_all_needed(cast: Cast) -> None:
    below = operations.create_project(cast.organization, "below", parent=cast.project, actor=None)
    deeper = operations.create_project(cast.organization, "deeper", parent=below, actor=None)
    operations.create_project(cast.organization, "beside", actor=None)
    def seen(client: APIClient) -> dict[str, list[str]]:
        return {one["name"]: one["permissions"] for one in client.get(ME).json()["projects"]}

    narrow = cast.key("alice", project=below, includes_below=True, scopes=["project.view", "instance.view"])
    assert seen(narrow) == {"below": ["instance.view", "project.view"], "deeper": ["instance.view", "project.view"]}
    assert list(seen(cast.key("alice", project=below, scopes=["project.view"]))) == ["below"]
    viewer = cast.key("vera", project=cast.project, includes_below=True, scopes=["project.view", "instance.delete"])
    assert seen(viewer) == {name: ["project.view"] for name in ("web", "below", "deeper")}, "no more than its owner may"
    assert narrow.get(f"/api/v1/projects/{cast.project.pk}/").status_code == 404
    assert [one["username"] for one in narrow.get("/api/v1/members/").json()["results"]] == ["alice"], "its owner alone"
    move_project(deeper, parent=None, actor=cast.alice)
    assert list(seen(narrow)) == ["below"], "what moved out is out at the next request"


def test_a_whole_tree_needs_a_project(cast: Cast) -> None:
    answer = cast.api("alice").post(KEYS, {"name": "x", "includes_below": True}, format="json")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["includes_below"]


def test_a_narrow_key_sees_and_ends_only_keys_that_reach_no_further(cast: Cast) -> None:
    soon = timezone.now() + timedelta(hours=1)
    wide, tree, scoped, brief, bound = (make(cast, **one)[0] for one in (
        {}, {"project": cast.project, "includes_below": True}, {"scopes": ["project.view"]}, {"expires_at": soon},
        {"networks": ["203.0.113.0/24"]}))
    def listed(**options) -> set:
        client = cast.key("alice", **options)
        client.defaults["REMOTE_ADDR"] = FAR
        own = client.get(ME).json()["api_key"]["id"]
        found = {one["id"] for one in client.get(KEYS).json()["results"]}
        assert own in found
        for key in (wide, tree, scoped, brief, bound):
            allowed = str(key.pk) in found
            for verb in ("rotate", "end-previous"):
                status = client.post(f"{KEYS}{key.pk}/actions/{verb}/", {}, format="json").status_code
                assert status == (200 if allowed else 404)
        ApiKey.objects.filter(pk=own).delete()
        return {key.pk for key in (wide, tree, scoped, brief, bound) if str(key.pk) in found}

    assert listed() == {one.pk for one in (wide, tree, scoped, brief, bound)}
    assert listed(scopes=["project.view"]) == {scoped.pk}
    assert listed(project=cast.project, includes_below=True) == {tree.pk}
    assert listed(project=cast.project) == set()
    assert listed(expires_at=soon + timedelta(hours=1)) == {brief.pk}
    assert listed(networks=["203.0.113.0/24"]) == {bound.pk}


@pytest.mark.parametrize(("own", "wish"), [
    ({"networks": ["203.0.113.0/24"]}, {}), ({"networks": ["203.0.113.0/24"]}, {"networks": ["203.0.0.0/16"]}),
    ({"networks": ["203.0.113.0/24"]}, {"networks": ["203.0.113.7", "2001:db8::/32"]}),
    ({"project": "web"}, {"project": "web", "includes_below": True}), ({"expires_at": 1}, {})])
def test_a_key_makes_none_that_reaches_further(cast: Cast, own: dict, wish: dict) -> None:
    web = {"project": cast.project}
    later = {"expires_at": timezone.now() + timedelta(days=1)}
    client = cast.key("alice", **own | (web if "project" in own else {}) | (later if "expires_at" in own else {}))
    wish = wish | ({"project": str(cast.project.pk)} if "project" in wish else {})
    assert client.post(KEYS, {"name": "x", **wish}, format="json", REMOTE_ADDR=FAR).status_code == 403
    inside = {"name": "x", "networks": ["203.0.113.7/32"], "expires_at": (timezone.now() + timedelta(hours=1)).isoformat()}
    inside |= {"project": str(cast.project.pk)} if "project" in own else {}
    assert client.post(KEYS, inside, format="json", REMOTE_ADDR=FAR).status_code == 201


# -- from where --

@pytest.mark.parametrize(("networks", "address", "is_let_in"), [
    (["203.0.113.0/24"], FAR, True), (["203.0.113.0/24"], "203.0.114.1", False), (["203.0.113.0/24"], "::ffff:203.0.113.7", True),
    (["2001:db8::/32"], "2001:db8:9::1", True), (["2001:db8::/32"], "2001:db9::1", False), (["203.0.113.7"], FAR, True),
    (["203.0.113.0/24"], "::203.0.113.7", False), (["0.0.0.0/0"], "2001:db8::1", False), ([], FAR, True),
    (["203.0.113.0/24"], "", False)])
def test_from_where_a_key_is_accepted(cast: Cast, networks: list[str], address: str, is_let_in: bool) -> None:
    answer = cast.key("alice", networks=networks).get(ME, REMOTE_ADDR=address)
    assert answer.status_code == (200 if is_let_in else 403)


def test_no_header_moves_a_caller_and_the_refusal_is_audited_once_a_minute(cast: Cast) -> None:
    key, text = make(cast, networks=["10.0.0.0/8"])
    for name in ("X_FORWARDED_FOR", "X_REAL_IP", "FORWARDED", "CF_CONNECTING_IP", "X_CLIENT_IP"):
        answer = program(text).get(ME, REMOTE_ADDR=FAR, **{f"HTTP_{name}": "10.0.0.1"})
        assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")
    [row] = AuditEvent.objects.filter(action="apikey.use")
    assert (row.result, row.actor, row.api_key, row.address, row.target_id) == ("refused", cast.alice, key.pk, FAR, str(key.pk))
    key.refresh_from_db()
    assert key.refused_at is not None and key.last_used_at is None
    assert program(text).get(ME, REMOTE_ADDR="10.1.2.3").status_code == 200


@pytest.mark.parametrize("word", ["10.0.0.1/24", "10.0.0.0/33", "example.org", "::ffff:10.0.0.0/104", "10.0.0", "0/0/0",
                                  "' OR 1=1", "2001:db8::1/32", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_said(cast: Cast, word: str) -> None:
    answer = cast.api("alice").post(KEYS, {"name": "x", "networks": [word]}, format="json")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["networks"]


def test_networks_are_kept_once_each_and_not_too_many(cast: Cast) -> None:
    assert operations.networks_of([" 10.0.0.0/8 ", "10.0.0.0/8", "", "192.0.2.1"]) == ["10.0.0.0/8", "192.0.2.1/32"]
    with pytest.raises(InvalidInput):
        operations.networks_of([f"10.0.{number}.0/24" for number in range(operations.MOST_NETWORKS + 1)])


# -- use --

def test_the_last_use_is_written_once_a_minute_with_its_address(cast: Cast) -> None:
    key, text = make(cast)
    client = program(text)
    client.get(ME, REMOTE_ADDR=FAR)
    first = ApiKey.objects.get(pk=key.pk)
    assert first.last_used_from == FAR
    with CaptureQueriesContext(connection) as asked:
        client.get(ME, REMOTE_ADDR="203.0.113.8")
    assert not [one for one in asked if one["sql"].startswith("UPDATE")]
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now() - timedelta(seconds=61))
    client.get(ME, REMOTE_ADDR="203.0.113.8")
    assert ApiKey.objects.get(pk=key.pk).last_used_from == "203.0.113.8"


# -- rotation --

def test_both_secrets_work_during_the_overlap_and_the_old_one_ends(cast: Cast) -> None:
    key, old = make(cast, scopes=["project.view"])
    answer = cast.api("alice").post(f"{KEYS}{key.pk}/actions/rotate/", {"overlap_hours": 24}, format="json")
    new = answer.json()["secret"]
    assert new != old and new.startswith(f"{key.prefix}_") and answer.json()["previous_until"]
    assert [program(text).get(ME).status_code for text in (old, new)] == [200, 200]
    assert program(old).get(ME).json()["api_key"]["id"] == program(new).get(ME).json()["api_key"]["id"] == str(key.pk)
    key.refresh_from_db()
    assert key.previous_used_at is not None, "it is shown that the old one is still in use"
    ApiKey.objects.filter(pk=key.pk).update(previous_until=timezone.now())
    assert [program(text).get(ME).status_code for text in (old, new)] == [401, 200]


def test_the_old_secret_is_ended_by_a_click_and_without_overlap_at_once(cast: Cast) -> None:
    key, first = make(cast)
    _key, second = operations.rotate_api_key(key, actor=cast.alice, overlap=timedelta(days=7))
    _key, third = operations.rotate_api_key(key, actor=cast.alice, overlap=timedelta(hours=1))
    assert [program(text).get(ME).status_code for text in (first, second, third)] == [401, 200, 200], "two at most"
    assert cast.api("alice").post(f"{KEYS}{key.pk}/actions/end-previous/").status_code == 200
    assert [program(text).get(ME).status_code for text in (second, third)] == [401, 200]
    _key, fourth = operations.rotate_api_key(key, actor=cast.alice)
    assert [program(text).get(ME).status_code for text in (third, fourth)] == [401, 200]
    assert list(AuditEvent.objects.filter(target_id=str(key.pk)).order_by("at").values_list("action", flat=True)) == [
        "apikey.create", "apikey.rotate", "apikey.rotate", "apikey.end_previous", "apikey.rotate"]


@pytest.mark.parametrize("hours", [-1, 169, "x", None])
def test_an_overlap_that_is_too_long_is_refused(cast: Cast, hours: object) -> None:
    key, _text = make(cast)
    answer = cast.api("alice").post(f"{KEYS}{key.pk}/actions/rotate/", {"overlap_hours": hours}, format="json")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["overlap_hours"]


def test_revoking_ends_both_secrets_and_nothing_wakes_a_revoked_key(cast: Cast) -> None:
    key, old = make(cast)
    _key, new = operations.rotate_api_key(key, actor=cast.alice, overlap=timedelta(days=1))
    operations.revoke_api_key(key, actor=cast.alice)
    assert [program(text).get(ME).status_code for text in (old, new)] == [401, 401]
    assert cast.api("alice").post(f"{KEYS}{key.pk}/actions/rotate/", {}, format="json").json()["code"] == "state_conflict"
    for name in ("adam", "mallory", "root"):
        assert cast.api(name).post(f"{KEYS}{key.pk}/actions/rotate/", {}, format="json").status_code == 404
