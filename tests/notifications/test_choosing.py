"""Choosing what one is told: page, API and bell; nobody chooses for somebody else, and security stays on."""
from typing import Any

import pytest
from django.urls import reverse

from portal import notifications
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent
from portal.notices.models import Preferences
from tests.cast import Cast
from tests.notifications.conftest import ended

API = "/api/v1/me/notification-preferences/"


def kinds(answer: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in answer.json()["results"]}


def test_all_kinds_are_told_with_how_they_are_declared(cast: Cast) -> None:
    answer = cast.api("vera").get(API)
    assert answer.status_code == 200 and kinds(answer).keys() == registry.notices.keys()
    assert kinds(answer)["operation.failed"] == {"name": "operation.failed", "label": "Failures in my projects", "mail": "never",
                                                 "bell": "on", "is_fixed": False}
    assert kinds(answer)["security.roles"]["is_fixed"] and kinds(answer)["security.roles"]["bell"] is None


def test_what_is_not_named_stays_and_what_is_declared_is_not_kept(cast: Cast) -> None:
    api = cast.api("vera")
    first = api.put(API, {"mail": {"operation.failed": "daily"}, "time_zone": "Asia/Shanghai"})
    second = api.put(API, {"bell": {"operation.own": "off"}, "mail": {"people": "daily"}})
    assert kinds(second)["operation.failed"]["mail"] == "daily" and second.json()["time_zone"] == "Asia/Shanghai"
    assert first.status_code == 200 and kinds(second)["operation.own"]["bell"] == "off"
    held = Preferences.objects.get()
    assert (held.user, held.mails, held.silent) == (cast.vera, {"operation.failed": "daily"}, ["operation.own"])
    assert AuditEvent.objects.filter(action="user.notifications", actor=cast.vera).count() == 2
    api.put(API, {"mail": {"operation.failed": "daily"}})
    assert AuditEvent.objects.filter(action="user.notifications").count() == 2, "nothing was changed"


@pytest.mark.parametrize("body", [
    {"mail": {"security.roles": "never"}}, {"mail": {"security.account": "daily"}}, {"mail": {"nothing": "now"}},
    {"mail": {"operation.own": "hourly"}}, {"mail": {"operation.own": None}}, {"mail": "never"}, {"mail": ["operation.own"]},
    {"mail": {str(number): "now" for number in range(500)}}, {"mail": {"x" * 5000: "now"}},
    {"bell": {"security.roles": "off"}}, {"bell": {"operation.own": "loud"}}, {"bell": {"operation.own": False}},
    {"time_zone": "../../etc/passwd"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "x" * 65}, {"time_zone": 8},
    {"user": "somebody"}, {"mail": {"\0": "now"}}])
def test_nonsense_and_silence_about_security_are_refused(cast: Cast, body: dict[str, Any]) -> None:
    assert cast.api("vera").put(API, body).status_code == 400
    assert not Preferences.objects.exclude(mails={}, silent=[], time_zone="").exists()


def test_the_page_shows_and_keeps_it(cast: Cast) -> None:
    browser, page = cast.browser("vera"), reverse("profile:notifications")
    text = browser.get(page).content.decode()
    assert text.count("<select") == 1 + sum(not kind.is_fixed for kind in registry.notices.values())
    assert "mail:security.roles" not in text
    form = {"mail:operation.own": "never", "mail:operation.failed": "now", "mail:people": "daily", "bell:operation.own": "on",
            "time_zone": "Europe/Berlin"}
    known = [name for name in registry.notices if not registry.notices[name].is_fixed]
    form |= {f"mail:{name}": registry.notices[name].mail for name in known if f"mail:{name}" not in form}
    assert browser.post(page, form).status_code == 302
    held = Preferences.objects.get(user=cast.vera)
    assert (held.mails, held.silent, held.time_zone) == ({"operation.failed": "now"}, ["operation.failed"], "Europe/Berlin")
    assert browser.post(page, form | {"mail:operation.own": "hourly"}).status_code == 400
    browser.post(page, form | {"mail:security.roles": "never"})
    assert "security.roles" not in Preferences.objects.get(user=cast.vera).mails


def test_the_bell_is_silent_about_what_was_switched_off(cast: Cast) -> None:
    ended(cast, by="vera", state="succeeded")
    ended(cast, by="oscar")
    def rung() -> tuple[int, int]:
        return notifications.activity(cast.vera).unread, notifications.notifications(cast.vera).count()

    assert rung() == (2, 2)
    api = cast.api("vera")
    api.put(API, {"bell": {"operation.own": "off"}})
    assert rung() == (1, 1)
    api.put(API, {"bell": {"operation.failed": "off"}})
    assert rung() == (0, 0)
    assert notifications.activity(cast.oscar).unread == 1, "others hear theirs"
    api.put(API, {"bell": {"operation.own": "on", "operation.failed": "on"}})
    assert rung() == (2, 2)
