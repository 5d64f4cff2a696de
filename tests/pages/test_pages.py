"""Every page answers in both languages, for people with and without rights, without any script."""
import re

import pytest
from django.test import Client
from django.urls import reverse

from compute.instances import operations as instance_operations
from compute.instances.models import Instance, SshKey
from portal.kernel.models import Operation
from tenants.models import ApiKey, User
from tests.world import World, drain

LISTS = ["dashboard", "instances:list", "instances:create", "volumes:list", "ssh_keys:list", "operations:list",
         "operations:drawer", "operations:button", "api_keys:list", "billing:usage", "account_change_password"]
TITLES = {"en": {"instances:list": "Instances", "dashboard": "Dashboard"},
          "zh-hans": {"instances:list": "实例", "dashboard": "总览"}}
NASTY = "<script>alert(1)</script>\"'"


def make(world: World, name: str = "web") -> Instance:
    operation = instance_operations.create_instance(world.order(name=name), actor=world.people["adam"])
    return Instance.objects.get(pk=operation.target_id)


def order_form(world: World, **changes: object) -> dict[str, object]:
    return {"project": world.project.pk, "region": world.region.pk, "image": world.image.pk, "type": world.type.pk,
            "name": "web"} | changes


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("name", LISTS)
def test_a_page_answers_in_both_languages(world: World, browser, name: str, language: str) -> None:
    make(world)
    response = browser("adam", language).get(reverse(name))
    assert response.status_code == 200
    text = response.content.decode()
    if "<html" in text:
        assert f'<html lang="{language}"' in text
    if name in TITLES[language]:
        assert f"<h1>{TITLES[language][name]}</h1>" in text


@pytest.mark.parametrize("tab", ["overview", "console", "timeline", "cost", "nonsense"])
@pytest.mark.parametrize("name", ["adam", "vera", "root"])
def test_each_tab_of_an_instance_is_an_address(world: World, browser, name: str, tab: str) -> None:
    instance = make(world)
    response = browser(name).get(reverse("instances:detail", args=[instance.pk]), {"tab": tab})
    assert response.status_code == 200
    assert "<h1>web</h1>" in response.content.decode()


def test_what_is_hidden_is_not_found(world: World, browser) -> None:
    instance = make(world)
    for path in (reverse("instances:detail", args=[instance.pk]), reverse("instances:detail", args=[world.project.pk])):
        assert browser("mallory").get(path).status_code == 404
    assert browser("mallory").get(reverse("instances:list"), {"project": str(world.project.pk)}).status_code == 404
    assert browser("mallory").get(reverse("instances:list"), {"project": "nonsense"}).status_code == 404


def test_strangers_are_asked_to_sign_in(world: World) -> None:
    for name in LISTS:
        response = Client().get(reverse(name))
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("account_login"))


def test_the_sign_in_page_works_in_both_languages(world: World) -> None:
    assert "<h1>Sign in</h1>" in Client().get(reverse("account_login")).content.decode()
    chinese = Client(headers={"accept-language": "zh-hans"})
    assert "<h1>登录</h1>" in chinese.get(reverse("account_login")).content.decode()
    answer = chinese.post(reverse("account_login"), {"login": "adam", "password": "correct horse battery"})
    assert answer["Location"] == reverse("dashboard")


def test_the_language_is_remembered(world: World, browser) -> None:
    client = browser()
    client.post(reverse("set_language"), {"language": "zh-hans", "next": "/"})
    assert "<h1>总览</h1>" in client.get("/").content.decode()
    assert User.objects.get(username="adam").language == "zh-hans", "mails follow"
    Client().post(reverse("set_language"), {"language": "en", "next": "/"})
    client.post(reverse("set_language"), {"language": "xx", "next": "/"})
    assert User.objects.get(username="adam").language == "zh-hans"


def test_an_instance_is_created_with_the_defaults_of_the_page(world: World, browser) -> None:
    client = browser()
    page = client.get(reverse("instances:create"))
    form = page.context["form"]
    wanted = {name: form[name].value() for name in ("project", "region", "image", "type", "name")}
    response = client.post(reverse("instances:create"), wanted)
    instance = Instance.objects.get(name=wanted["name"])
    assert response["Location"] == reverse("instances:detail", args=[instance.pk])
    followed = client.get(response["Location"]).content.decode()
    assert 'http-equiv="refresh"' in followed, "without a script the page follows the operation by itself"
    drain()
    assert 'http-equiv="refresh"' not in client.get(response["Location"]).content.decode()


def test_the_summary_says_price_quota_and_the_same_by_rest(world: World, browser) -> None:
    text = browser().post(reverse("instances:summary"), order_form(world, description=NASTY)).content.decode()
    assert "¥0.36" in text
    assert "/api/v1/instances/" in text
    assert "<script>" not in text


@pytest.mark.parametrize(("field", "value"), [
    ("name", ""), ("name", NASTY), ("name", "../x"), ("name", "x" * 101), ("name", "x" * 10_000),
    ("name", "a\x07b"), ("name", "a\nb"), ("name", "a\0b"),
    ("name", "a\u202eb"), ("root_disk_gib", "0"), ("root_disk_gib", "many"), ("root_disk_gib", "9" * 30),
    ("image", "nonsense"), ("image", "00000000-0000-0000-0000-000000000000"), ("type", ""), ("region", "x"),
    ("ssh_keys", "nonsense"), ("user_data", "x" * 16385), ("zone", "nonsense")])
def test_bad_input_names_its_field_and_creates_nothing(world: World, browser, field: str, value: str) -> None:
    response = browser().post(reverse("instances:create"), order_form(world, **{field: value}))
    assert response.status_code == 400
    assert field in response.context["form"].errors
    assert "field-error" in response.content.decode()
    assert not Instance.objects.exists()


def test_a_foreign_project_is_not_found_and_a_viewer_is_refused(world: World, browser) -> None:
    form = order_form(world, project=world.rival_project.pk)
    assert browser("adam").post(reverse("instances:create"), form).status_code == 404
    assert browser("vera").post(reverse("instances:create"), order_form(world)).status_code == 403
    assert not Instance.objects.exists()


def test_a_name_with_markup_is_shown_as_text_everywhere(world: World, browser) -> None:
    instance = make(world, NASTY)
    operation = Operation.objects.get(kind="instance.create")
    for path in ("/", reverse("instances:list"), reverse("volumes:list"), reverse("operations:list"),
                 reverse("operations:detail", args=[operation.pk]), reverse("instances:detail", args=[instance.pk])):
        text = browser().get(path).content.decode()
        assert "&lt;script&gt;alert(1)" in text, path
        assert "<script>alert" not in text, path


def test_stopping_asks_first_and_then_stops(world: World, browser) -> None:
    instance = make(world)
    drain()
    client, path = browser("oscar"), reverse("instances:stop", args=[instance.pk])
    assert "30 seconds" in client.post(path).content.decode()
    assert client.post(path, {"confirmed": "1"})["Location"] == reverse("instances:detail", args=[instance.pk])
    drain()
    instance.refresh_from_db()
    assert instance.state == "stopped"
    assert client.post(path, {"confirmed": "1"}).status_code == 409


def test_deleting_for_good_needs_the_name(world: World, browser) -> None:
    instance = make(world)
    drain()
    client, path = browser(), reverse("instances:purge", args=[instance.pk])
    assert client.post(path, {"confirmed": "1", "typed_name": "other"}).status_code == 400
    assert browser("oscar").post(path, {"confirmed": "1", "typed_name": "web"}).status_code == 403
    assert client.post(path, {"confirmed": "1", "typed_name": "web"})["Location"] == reverse("instances:list")
    drain()
    assert client.get(reverse("instances:detail", args=[instance.pk])).status_code == 404


def test_htmx_gets_a_notice_and_fragments(world: World, browser) -> None:
    instance = make(world)
    client = browser()
    fragment = client.get(reverse("instances:list"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert 'id="instances"' in fragment
    refused = client.post(reverse("instances:start", args=[instance.pk]), headers={"HX-Request": "true"})
    assert refused.status_code == 409
    assert refused["HX-Retarget"] == "#notices"
    assert "Building" in refused.content.decode()


def test_a_button_that_cannot_be_pressed_says_why(world: World, browser) -> None:
    instance = make(world)
    drain()
    text = browser("vera").get(reverse("instances:detail", args=[instance.pk])).content.decode()
    denied = re.findall(r'aria-disabled="true" aria-label="([\w ]+): Your role does not include this', text)
    assert denied == ["Start", "Stop", "Reboot", "Edit", "Delete", "Pause", "Suspend to disk", "Resize", "Rescue", "Rebuild",
                      "Create image", "Clone", "Take snapshot", "Revert to snapshot", "Create volume", "Attach volume",
                      "Reset password", "Lock", "Protect against deletion", "Set watchdog", "Delete", "Delete for good"]


def test_secrets_are_shown_once(world: World, browser) -> None:
    client = browser()
    made = client.post(reverse("ssh_keys:generate"), {"project": world.project.pk, "name": "laptop"})
    assert "BEGIN OPENSSH PRIVATE KEY" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    assert "PRIVATE KEY" not in client.get(reverse("ssh_keys:list")).content.decode()
    key = client.post(reverse("api_keys:create"), {"name": "ci", "days": "30"})
    text = re.search(r"mns_\w+_[\w-]+", key.content.decode())[0]
    assert text not in client.get(reverse("api_keys:list")).content.decode()
    answer = Client().get("/api/v1/me/", headers={"authorization": f"Bearer {text}"})
    assert answer.status_code == 200


def test_keys_are_deleted_and_revoked_after_asking(world: World, browser) -> None:
    client = browser()
    client.post(reverse("ssh_keys:generate"), {"project": world.project.pk, "name": "laptop"})
    client.post(reverse("api_keys:create"), {"name": "ci", "days": ""})
    ssh, api = SshKey.objects.get(), ApiKey.objects.get()
    for path in (reverse("ssh_keys:delete", args=[ssh.pk]), reverse("api_keys:revoke", args=[api.pk])):
        assert client.post(path).status_code == 200
        assert client.post(path, {"confirmed": "1"}).status_code == 302
    ssh.refresh_from_db()
    api.refresh_from_db()
    assert ssh.deleted_at is not None
    assert api.revoked_at is not None


@pytest.mark.parametrize("text", ["", "nonsense", "ssh-ed25519 AAAA", "x" * 9000])
def test_what_is_no_key_is_refused_beside_its_field(world: World, browser, text: str) -> None:
    response = browser().post(reverse("ssh_keys:add"), {"project": world.project.pk, "name": "k", "public_key": text})
    assert response.status_code == 400
    assert "public_key" in response.context["add"].errors
    assert not SshKey.objects.exists()


def test_an_operation_is_cancelled_from_its_page(world: World, browser) -> None:
    make(world)
    operation = Operation.objects.get(kind="instance.create")
    client = browser("oscar")
    assert "Cancel" in client.get(reverse("operations:detail", args=[operation.pk])).content.decode()
    client.post(reverse("operations:cancel", args=[operation.pk]))
    drain()
    operation.refresh_from_db()
    assert operation.state == "cancelled"


def test_operators_see_what_needs_a_person_and_push_it(world: World, browser) -> None:
    make(world)
    stuck = Operation.objects.filter(kind="instance.create")
    stuck.update(person_since="2026-01-01T00:00:00Z", attempts=9)
    client = browser("root")
    assert "needs a person" in client.get(reverse("operator:operations")).content.decode()
    assert client.post(reverse("operator:retry", args=[stuck.get().pk])).status_code == 302
    assert stuck.get().attempts == 0
    assert browser("alice").get(reverse("operator:operations")).status_code == 404


def test_an_unknown_address_is_a_page_of_ours(world: World, browser) -> None:
    response = browser().get("/nothing/here/")
    assert response.status_code == 404
    assert "There is nothing at this address." in response.content.decode()


def test_tenants_never_read_the_names_of_hosts(world: World, browser) -> None:
    instance = make(world)
    drain()
    path = reverse("instances:detail", args=[instance.pk])
    assert world.host.name in browser("root").get(path).content.decode()
    for tab in ("overview", "timeline", "cost"):
        assert world.host.name not in browser("alice").get(path, {"tab": tab}).content.decode()
