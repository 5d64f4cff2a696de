"""Operators suspend, resume, archive and delete in admin by the verbs, and what is deleted is history there."""
import pytest

from portal.kernel.models import AuditEvent
from tenants.models import Organization, Project
from tests.portal.admin.scene import page
from tests.portal.admin.test_acts import do
from tests.portal.scenery import Scene

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("act", "policy"), [("suspend", "keep"), ("suspend_and_stop", "stop")])
def test_an_organization_is_suspended_for_the_reason_on_its_page(undone: Scene, act: str, policy: str) -> None:
    row, browser = undone.ours[Organization], undone.cast.browser("root")
    Organization.objects.filter(pk=row.pk).update(suspension_reason="unpaid")
    asked = browser.post(page(Organization), {"action": act, "_selected_action": [row.pk]})
    assert 'name="confirmed"' in asked.content.decode() and Organization.objects.get(pk=row.pk).suspended_at is None
    do(browser, act, row, confirmed="yes")
    row.refresh_from_db()
    assert row.suspended_at is not None and (row.while_suspended, row.suspension_reason) == (policy, "unpaid")
    assert AuditEvent.objects.get(action="organization.suspend").actor == undone.cast.root
    do(browser, "resume", row)
    row.refresh_from_db()
    assert row.suspended_at is None


def test_a_project_in_use_says_what_is_in_it_and_an_empty_one_goes(undone: Scene) -> None:
    row, browser = undone.ours[Project], undone.cast.browser("root")
    do(browser, "archive", row)
    assert Project.objects.get(pk=row.pk).archived_at is not None
    do(browser, "unarchive", row)
    assert "web-0 (Instance)" in do(browser, "end", row, confirmed="yes")
    row.resources.update(deleted_at="2026-01-01T00:00:00Z")
    row.operations.filter(state__in=["queued", "running"]).update(state="failed", finished_at="2026-01-01T00:00:00Z")
    do(browser, "end", row, confirmed="yes")
    assert Project.objects.get(pk=row.pk).deleted_at is not None
    assert browser.get(page(Project, "change", row.pk)).status_code == 200
    browser.post(page(Project, "change", row.pk), {"name": "renamed"})
    assert Project.objects.get(pk=row.pk).name == "web"
