"""Launch templates as people and programs make, keep and use them."""
import re
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from compute.instances.launch_templates import verbs
from compute.instances.models import Instance, InstanceType, LaunchTemplate, LaunchTemplateVersion, SshKey
from portal.kernel.models import AuditEvent
from storage.models import Image
from tenants.models import Quota
from tenants.operations import create_organization, create_project
from tenants.roles import bind
from tests.world import World

API, INSTANCES, CREATE = "/api/v1/launch-templates/", "/api/v1/instances/", reverse("instances:create")
SCRIPT = "#!/bin/sh\necho a secret\n"


@pytest.fixture
def key(world: World) -> SshKey:
    return SshKey.objects.create(project=world.project, region=world.region, name="k", public_key="ssh-ed25519 AAAA k",
                                 fingerprint="x")


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {"project": str(world.project.pk), "region": str(world.region.pk), "name": "web servers", "tags": {"team": "shop"},
            "type": str(world.type.pk), "image": str(world.image.pk), "user_data": SCRIPT, "instance_name": "web",
            "instance_tags": {"env": "test"}, "count": 2} | changes


def send(client: Any, method: str, address: str, sent: dict[str, Any] | None = None) -> Any:
    return getattr(client, method)(address, sent or {}, content_type="application/json")


def made(world: World, browser: Any, **changes: Any) -> str:
    answer = send(browser("alice"), "post", API, body(world, **changes))
    assert answer.status_code == 201, answer.json()
    return answer.json()["id"]


def test_made_read_changed_and_deleted_by_rest(world: World, key: SshKey, browser) -> None:
    client, pk = browser("alice"), made(world, browser, ssh_keys=[str(key.pk)])
    address = f"{API}{pk}/"
    row = client.get(address).json()
    assert (row["default_version"], row["latest_version"], row["tags"]) == (1, 1, {"team": "shop"})
    assert client.get(API).json()["results"] == [row]
    second = send(client, "post", f"{address}versions/", {"source": 1, "count": 3, "is_default": False}).json()
    assert (second["number"], second["has_user_data"], second["values"]["count"]) == (2, True, 3)
    assert second["values"]["ssh_keys"] == [str(key.pk)] and "user_data" not in second["values"]
    assert send(client, "post", f"{address}versions/", {"count": 4}).json()["values"] == {"count": 4}
    assert client.get(address).json()["default_version"] == 3
    changed = send(client, "patch", address, {"default_version": 2, "name": "shops"}).json()
    assert (changed["default_version"], changed["name"], changed["latest_version"]) == (2, "shops", 3)
    assert [one["number"] for one in client.get(f"{address}versions/").json()["results"]] == [3, 2, 1]
    assert send(client, "patch", address, {"default_version": 9}).status_code == 400
    assert send(client, "patch", address, {}).status_code == 400
    assert [send(browser(who), method, where, {"name": "x"} if method == "patch" else {}).status_code
            for who in ("vera", "oscar", "mallory") for method, where in (
                ("patch", address), ("delete", address), ("post", f"{address}versions/"))] == [403] * 6 + [404] * 3
    assert client.delete(address).status_code == 204 and client.get(address).status_code == 404
    assert not LaunchTemplateVersion.objects.exists()
    events = AuditEvent.objects.filter(action__startswith="launch_template.", result="ok").order_by("at")
    assert [event.action.partition(".")[2] for event in events] == ["create", "save", "save", "default", "update", "delete"]


def test_the_trail_tells_names_and_no_ids(world: World, key: SshKey, browser) -> None:
    made(world, browser, ssh_keys=[str(key.pk)])
    event = AuditEvent.objects.get(action="launch_template.create", result="ok")
    assert event.after == {
        "name": "web servers", "version": 1, "type": world.type.name, "image": world.image.name, "ssh_keys": ["k"], "count": 2,
        "instance_name": "web", "instance_tags": {"env": "test"}, "user_data": "***"}


def test_user_data_is_encrypted_and_told_to_nobody_but_the_form(world: World, browser) -> None:
    pk = made(world, browser)
    with connection.cursor() as cursor:
        cursor.execute("SELECT user_data FROM instances_launchtemplateversion")
        assert "secret" not in cursor.fetchone()[0]
    assert not any("a secret" in str(event.after) for event in AuditEvent.objects.all())
    pages = [browser(who).get(address).content.decode() for who, address in (
        ("vera", f"{API}{pk}/"), ("vera", f"{API}{pk}/versions/"), ("vera", reverse("launch_templates:detail", args=[pk])),
        ("vera", reverse("launch_templates:list")), ("root", reverse("admin:instances_launchtemplate_change", args=[pk])))]
    assert all("a secret" not in page for page in pages) and "web servers" in pages[3]
    assert "a secret" in browser("alice").get(CREATE, {"template": pk}).content.decode()
    assert browser("vera").get(CREATE, {"template": pk}).status_code == 403
    assert browser("mallory").get(CREATE, {"template": pk}).status_code == 404


def test_instances_are_made_from_it_with_what_is_said_otherwise(world: World, key: SshKey, browser) -> None:
    client, pk = browser("alice"), made(world, browser, ssh_keys=[str(key.pk)])
    assert send(client, "post", INSTANCES, {"template": pk}).status_code == 202
    first = Instance.objects.order_by("name")[0]
    assert [one.name for one in Instance.objects.order_by("name")] == ["web-1", "web-2"]
    assert (first.tags, first.user_data, first.public_keys) == ({"env": "test"}, SCRIPT, [key.public_key])
    answer = send(client, "post", INSTANCES, {"template": pk, "name": "db", "count": 1, "user_data": "", "ssh_keys": []})
    other = Instance.objects.get(name="db")
    assert answer.status_code == 202 and (other.user_data, other.public_keys, other.type) == ("", [], world.type)
    assert send(browser("oscar"), "post", INSTANCES, {"template": pk}).status_code == 403
    assert send(browser("mallory"), "post", INSTANCES, {"template": pk}).status_code == 404


def test_whoever_only_sees_it_does_not_boot_its_secrets_in_a_project_of_their_own(world: World, browser) -> None:
    """Vera looks at Acme's project, and is its own master in another organization."""
    pk, vera = made(world, browser), world.people["vera"]
    own = create_project(create_organization("Vera's", owner=vera, actor=None), "p", actor=None)
    client, own_body = browser("vera"), {"project": str(own.pk), "ssh_keys": [], "subnets": [], "security_groups": []}
    for version in ({}, {"template_version": 1}, {"template_version": 9}):
        answer = send(client, "post", INSTANCES, {"template": pk} | own_body | version)
        assert answer.status_code == 403 and SCRIPT not in answer.content.decode()
    strange = send(browser("mallory"), "post", INSTANCES, {"template": pk, "project": str(world.rival_project.pk)})
    assert strange.status_code == 404
    assert not Instance.objects.exists()
    bind(vera, "admin", world.project)
    assert send(client, "post", INSTANCES, {"template": pk} | own_body).status_code == 202


@pytest.mark.parametrize(("sent", "fields"), [
    ({"template_version": 7}, {"template_version"}), ({"template_version": "x"}, {"template_version"}),
    ({"name": ""}, {"name"}), ({"count": 0}, {"count"}), ({"nonsense": 1}, {"nonsense"})])
def test_bad_requests_name_the_field(world: World, browser, sent: dict[str, Any], fields: set[str]) -> None:
    answer = send(browser("alice"), "post", INSTANCES, {"template": made(world, browser)} | sent)
    assert answer.status_code == 400 and set(answer.json()["errors"]) == fields and not Instance.objects.exists()


def test_without_a_template_all_that_is_needed_is_asked_for(world: World, browser) -> None:
    answer = send(browser("alice"), "post", INSTANCES, {})
    assert answer.status_code == 400 and set(answer.json()["errors"]) == {"project", "region", "type", "image", "name"}
    partly = made(world, browser, type=str(world.type.pk), user_data="")
    assert send(browser("alice"), "post", f"{API}{partly}/versions/", {"count": 1}).status_code == 201
    answer = send(browser("alice"), "post", INSTANCES, {"template": partly, "name": "x"})
    assert answer.status_code == 400 and set(answer.json()["errors"]) == {"type", "image"}


def test_what_is_gone_is_named_by_api_and_page(world: World, key: SshKey, browser) -> None:
    client, pk = browser("alice"), made(world, browser, ssh_keys=[str(key.pk)])
    other = InstanceType.objects.create(slug="other", name="Other", vcpus=1, memory_mib=256, root_disk_gib=1)
    InstanceType.objects.filter(pk=world.type.pk).update(is_offered=False)
    Image.objects.update(deleted_at="2026-01-01T00:00:00Z", state="deleted")
    SshKey.objects.update(deleted_at="2026-01-01T00:00:00Z")
    answer = send(client, "post", INSTANCES, {"template": pk})
    assert answer.status_code == 400 and set(answer.json()["errors"]) == {"type", "image", "ssh_keys"}
    assert "is gone" in answer.json()["errors"]["type"][0]
    mended = send(client, "post", INSTANCES, {"template": pk, "type": str(other.pk), "ssh_keys": []})
    assert set(mended.json()["errors"]) == {"image"}
    page = client.get(CREATE, {"template": pk}).content.decode()
    assert "not offered any more: Image, Size, SSH keys" in page and 'name="type" value' in page
    assert not any(" checked" in part.split(">", 1)[0] for part in page.split('name="type"')[1:])
    assert page.count("web servers") >= 1
    shown = client.get(reverse("launch_templates:detail", args=[pk])).content.decode()
    assert shown.count("gone, or not yours to see") == 3


@pytest.mark.parametrize(("field", "value", "status"), [
    ("user_data", "echo", 400), ("image", "rival", 400), ("root_disk_gib", 0, 400), ("public_keys", ["nonsense"], 400),
    ("ports", [], 400), ("count", 21, 400), ("type", "00000000-0000-0000-0000-000000000000", 404), ("ssh_keys", "rival", 404)])
def test_what_can_never_work_is_not_kept(world: World, browser, field: str, value: Any, status: int) -> None:
    rivals = {"image": lambda: str(Image.objects.create(
        project=world.rival_project, region=world.region, name="r", state="importing", visibility="public").pk),
        "ssh_keys": lambda: [str(SshKey.objects.create(project=world.rival_project, region=world.region, name="r",
                                                       public_key="x", fingerprint="y").pk)]}
    answer = send(browser("alice"), "post", API, body(world, **{field: rivals[field]() if value == "rival" else value}))
    assert answer.status_code == status and any(name.startswith(field) for name in answer.json()["errors"])
    assert not LaunchTemplate.objects.exists()


def test_the_oldest_versions_give_way_but_not_the_default(world: World, browser) -> None:
    template = LaunchTemplate.objects.get(pk=made(world, browser))
    for _number in range(verbs.MOST_VERSIONS + 2):
        verbs.add_version(template, wishes={"count": 3}, is_default=False, actor=world.people["alice"])
    kept = sorted(template.versions.values_list("number", flat=True))
    assert kept == [1, *range(5, verbs.MOST_VERSIONS + 4)] and len(kept) == verbs.MOST_VERSIONS


def test_a_quota_and_the_end_of_its_project(world: World, browser) -> None:
    Quota.objects.create(project=world.project, dimension="launch_templates", limit=1)
    made(world, browser)
    answer = send(browser("alice"), "post", API, body(world))
    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    verbs.end_with_project(world.project, None)
    assert not LaunchTemplate.objects.live().exists() and not LaunchTemplateVersion.objects.exists()


def sent_by_form(world: World, **changes: Any) -> dict[str, Any]:
    return {"project": world.project.pk, "region": world.region.pk, "type": world.type.pk, "image": world.image.pk, "name": "web",
            "count": "1"} | changes


def test_saved_and_used_on_the_create_page(world: World, key: SshKey, browser) -> None:
    client = browser("adam")
    nameless = client.post(CREATE, sent_by_form(world, save_as="template"))
    assert nameless.status_code == 400 and "Say how the template is called." in nameless.content.decode()
    answer = client.post(CREATE, sent_by_form(world, save_as="template", save_name="web servers", user_data=SCRIPT))
    template = LaunchTemplate.objects.get()
    home = reverse("launch_templates:detail", args=[template.pk])
    assert answer.url == home and not Instance.objects.exists()
    page = client.get(CREATE, {"template": template.pk}).content.decode()
    assert "a secret" in page and 'value="web"' in page and f'value="{template.pk}"' in page
    assert not any(" checked" in part.split(">", 1)[0] for part in page.split('name="ssh_keys"')[1:]), "none was chosen"
    client.post(CREATE, sent_by_form(world, save_as="version", template=template.pk, count="3", ssh_keys=[key.pk]))
    template.refresh_from_db()
    assert (template.default_version, template.latest_version) == (2, 2)
    shown = client.get(home).content.decode()
    assert "Version 2" in shown and "Make default" in shown
    client.post(reverse("launch_templates:default", args=[template.pk]), {"version": "1"})
    template.refresh_from_db()
    assert template.default_version == 1
    assert client.post(reverse("launch_templates:default", args=[template.pk]), {"version": "9"}).status_code == 400
    for address in (f"{CREATE}?template={template.pk}&version=9", f"{CREATE}?template=nonsense"):
        assert client.get(address).status_code == 404
    assert "confirmed" in client.post(reverse("launch_templates:delete", args=[template.pk])).content.decode()
    client.post(reverse("launch_templates:delete", args=[template.pk]), {"confirmed": "1"})
    assert not LaunchTemplate.objects.live().exists()


def test_the_cells_of_the_list_vanish_with_their_columns(world: World, browser) -> None:
    made(world, browser)
    page = browser("alice").get(reverse("launch_templates:list")).content.decode()
    heads, cells = (re.findall(rf'<{tag}[^>]*class="([^"]*)"', page) for tag in ("th", "td"))
    assert [sum("extra" in kind.split() for kind in kinds) for kinds in (heads, cells)] == [1, 1]
    assert sum("wide-only" in kind.split() for kind in heads) == sum("wide-only" in kind.split() for kind in cells)
