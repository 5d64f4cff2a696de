"""What an audited act changed is told in words: no codes, no brackets, no `True`."""
from typing import Any

import pytest
from django.utils import translation

from portal.kernel.models import AuditEvent
from portal.templatetags.ui import changes_of
from portal.trail import changes_of as whole_changes_of


def event(action: str, after: dict[str, Any], before: dict[str, Any] | None = None, result: str = "ok") -> AuditEvent:
    return AuditEvent(action=action, before=before, after=after, result=result)


TEMPLATE = event("launch_template.save", {
    "version": 2, "subnets": ["front", "back"], "floating_ip": True, "instance_name": "web", "instance_tags": {"env": "test"},
    "user_data": "***", "default_version": 1}, {"default_version": 2})


def test_a_launch_template() -> None:
    assert changes_of(TEMPLATE) == [
        "Default version: 2 → 1", "Version: 2", "Subnets: front, back", "Floating IP: yes", "Name of the instances: web",
        "Tags of the instances: env: test", "User data: ***"]
    assert {str(label): now for label, _was, now in whole_changes_of(TEMPLATE)}["Subnets"] == "front, back"
    with translation.override("zh-hans"):
        assert changes_of(TEMPLATE)[0] == "默认版本: 2 → 1" and "浮动 IP: 是" in changes_of(TEMPLATE)


@pytest.mark.parametrize(("action", "reason", "result", "words"), [
    ("console.close", "left", "ok", "Left by the user"), ("console.close", "link_revoked", "ok", "The link was revoked"),
    ("console.close", "forbidden", "ok", "Not allowed"), ("console.open", "not_found", "refused", "Not found"),
    ("console.close", "new-and-unknown", "ok", "new-and-unknown"), ("break_glass.open", "left", "ok", "left")])
def test_reasons(action: str, reason: str, result: str, words: str) -> None:
    """A person's own words stay; codes of the portal do not."""
    told = event(action, {"reason": reason, "view_only": False}, result=result)
    assert changes_of(told) == [f"Reason: {words}", "Look only: no"]
    assert [now for _label, _was, now in whole_changes_of(told)] == [words, "no"]


def test_what_is_empty_is_a_dash() -> None:
    assert changes_of(event("x", {"name": "", "rules": [], "state": "running"}, {"name": None})) == [
        "Name: – → –", "Rules: –", "State: Running"]


def test_what_a_watchdog_does() -> None:
    assert changes_of(event("instance.watchdog", {"watchdog": "poweroff"}, {"watchdog": "off"})) == [
        "Watchdog: it has none → switch it off"]
    assert changes_of(event("instance.watchdog_fired", {"does": "none"})) == ["What is done then: only tell"]
