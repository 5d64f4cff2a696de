"""Pages of keys and service users: what is shown once, what is asked first, and who is told before a key expires."""
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent
from portal.key_forms import ACTIONS, AREAS
from portal.notices.models import Notice
from tenants import expiry, operations, service_users
from tenants.models import ApiKey, ServiceUser
from tests.cast import Cast

TEXT = re.compile(r"mns_[A-Za-z0-9-]+_[A-Za-z0-9-]{30,}[0-9a-f]{8}")


def text_on(answer) -> str:
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    return TEXT.search(answer.content.decode())[0]


def test_a_key_is_made_rotated_and_ended_on_pages(cast: Cast) -> None:
    browser = cast.browser("alice")
    text = text_on(browser.post("/api-keys/create/", {
        "name": "ci", "project": str(cast.project.pk), "includes_below": "on", "days": "30", "scopes": ["project.view"],
        "networks": "192.0.2.0/24\n2001:db8::/32"}))
    key = ApiKey.objects.get()
    assert (key.networks, key.scopes, key.includes_below) == (["192.0.2.0/24", "2001:db8::/32"], ["project.view"], True)
    assert text not in browser.get("/api-keys/").content.decode()
    assert browser.get(f"/api-keys/{key.pk}/rotate/").status_code == 200
    new = text_on(browser.post(f"/api-keys/{key.pk}/rotate/", {"overlap": "24"}))
    assert new != text and operations.find_api_key(text) and operations.find_api_key(new)
    listed = browser.get("/api-keys/").content.decode()
    assert "End old secret" in listed and "not used since" in listed and "from 2 networks only" in listed
    url = f"/api-keys/{key.pk}/end-previous/"
    assert browser.post(url).status_code == 200 and operations.find_api_key(text), "it asks first"
    assert browser.post(url, {"confirmed": "1"}).status_code == 302 and operations.find_api_key(text) is None
    assert browser.post(f"/api-keys/{key.pk}/rotate/", {"overlap": "999"}).status_code == 400


def test_what_is_wrong_is_said_at_its_field(cast: Cast) -> None:
    answer = cast.browser("alice").post("/api-keys/create/", {"name": "ci", "networks": "10.0.0.1/8", "days": "30"})
    assert answer.status_code == 400 and "10.0.0.1/8" in answer.content.decode() and not ApiKey.objects.exists()


def test_the_table_has_each_permission_once(cast: Cast) -> None:
    from portal.kernel.declarations import registry

    page = cast.browser("alice").get("/api-keys/").content.decode()
    assert sorted(re.findall(r'name="scopes" value="([a-z._]+)"', page)) == sorted(registry.permissions)


def test_a_service_users_life_on_pages(cast: Cast) -> None:
    browser = cast.browser("adam")
    project = f"/projects/{cast.project.pk}/?tab=programs"
    assert "None yet" in browser.get(project).content.decode()
    made = browser.post("/service-users/create/", {"project": str(cast.project.pk), "name": "deploy"})
    service = ServiceUser.objects.get()
    page = f"/service-users/{service.pk}/"
    assert made.status_code == 302 and made["Location"] == page
    assert browser.post(f"{page}bind/", {"role": "viewer", "scope": f"project:{cast.project.pk}"}).status_code == 302
    text = text_on(browser.post(f"{page}add-key/", {"name": "ci", "days": "30"}))
    key = operations.find_api_key(text)
    assert key.owner_id == service.pk
    assert "deploy" in browser.get(project).content.decode()
    shown = browser.get(page).content.decode()
    assert key.prefix in shown and "Viewer" in shown and text not in shown
    assert key.prefix not in browser.get("/api-keys/").content.decode(), "one's own are there"
    assert key.prefix not in cast.browser("vera").get(page).content.decode(), "a viewer sees the program and not its keys"
    assert text_on(browser.post(f"/api-keys/{key.pk}/rotate/", {"overlap": "0"})) != text
    assert browser.post(f"{page}deactivate/").status_code == 302 and operations.find_api_key(text) is None
    assert "deactivated" in browser.get(page).content.decode()
    assert browser.post(f"{page}activate/").status_code == 302
    assert browser.post(f"{page}delete/").status_code == 200
    assert browser.post(f"{page}delete/", {"confirmed": "1"}).status_code == 302
    assert browser.get(page).status_code == 404


def test_the_bulk_verb_is_for_ones_own(cast: Cast) -> None:
    service = service_users.create(cast.project, "x", actor=cast.alice)
    key, _text = operations.create_api_key(service.user, name="x", actor=cast.alice)
    cast.browser("vera").post("/api-keys/bulk/revoke/", {"id": str(key.pk), "confirmed": "1", "typed_count": "1"})
    key.refresh_from_db()
    assert key.revoked_at is None


# -- before it expires --

@pytest.mark.parametrize(("days", "age", "is_told"), [(6, 30, True), (8, 30, False), (-1, 30, False), (6, 0, False)])
def test_owners_are_told_a_week_before_and_once(cast: Cast, days: int, age: int, is_told: bool) -> None:
    key, _text = operations.create_api_key(cast.alice, name="ci", actor=cast.alice)
    now = timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now + timedelta(days=days), created_at=now - timedelta(days=age))
    assert expiry.tell() == int(is_told) and expiry.tell() == 0
    assert list(Notice.objects.filter(act="apikey.expiring").values_list("user", flat=True)) == [cast.alice.pk] * is_told


def test_of_a_service_users_key_those_are_told_who_can_make_another(cast: Cast) -> None:
    service = service_users.create(cast.project, "x", actor=cast.alice)
    key, _text = operations.create_api_key(service.user, name="ci", actor=cast.alice)
    now = timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now + timedelta(days=2), created_at=now - timedelta(days=30))
    assert expiry.tell() == 1
    told = set(Notice.objects.filter(act="apikey.expiring").values_list("user", flat=True))
    assert told == {cast.alice.pk, cast.adam.pk}
    assert AuditEvent.objects.get(action="apikey.expiring").target_id == str(key.pk)


def test_revoked_ones_and_those_of_locked_out_people_are_left_alone(cast: Cast) -> None:
    key, _text = operations.create_api_key(cast.alice, name="ci", actor=cast.alice)
    now = timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now + timedelta(days=2), created_at=now - timedelta(days=30))
    type(cast.alice).objects.filter(pk=cast.alice.pk).update(is_active=False)
    assert expiry.tell() == 0
    type(cast.alice).objects.filter(pk=cast.alice.pk).update(is_active=True)
    operations.revoke_api_key(key, actor=cast.alice)
    assert expiry.tell() == 0


def test_in_admin_a_key_is_read_and_revoked_and_its_hashes_are_not_shown(cast: Cast) -> None:
    key, _text = operations.create_api_key(cast.alice, name="ci", actor=cast.alice)
    key, _text = operations.rotate_api_key(key, actor=cast.alice, overlap=timedelta(hours=1))
    root: Client = cast.browser("root")
    page = root.get(f"/admin/tenants/apikey/{key.pk}/change/").content.decode()
    assert key.prefix in page and key.secret_hash not in page and key.previous_hash not in page
    service = service_users.create(cast.project, "x", actor=cast.alice)
    wish = {"password1": "x" * 20, "password2": "x" * 20}
    assert root.post(f"/admin/tenants/user/{service.pk}/password/", wish).status_code == 403


def test_every_area_has_its_word() -> None:
    parts = [name.split(".") for name in registry.permissions]
    assert {area for area, _action in parts} == AREAS.keys()
    assert {action for _area, action in parts} <= ACTIONS.keys()
