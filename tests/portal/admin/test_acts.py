"""Acts in admin go through the rooms' verbs: asked first where it hurts, told row by row, audited, for those who may."""
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils.html import escape

from compute.hosts.models import Host
from compute.instances.models import Instance, Snapshot
from compute.network.models import FloatingIp, Vpc
from portal.kernel.admin.bases import MOST_AT_ONCE
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from storage.models import Image
from tenants.models import ApiKey, Invitation, User
from tests.portal.admin.scene import page, said, staff
from tests.portal.scenery import Scene, make_rows

pytestmark = pytest.mark.django_db


def do(browser: Client, name: str, *rows, **further: str) -> str:
    """Press the button for the rows; what the page says afterwards."""
    sent = {"action": name, "_selected_action": [row.pk for row in rows]} | further
    return said(browser.post(page(type(rows[0])), sent, follow=True))


def test_instances_are_started_by_the_verb_and_each_says_how_it_went(undone: Scene) -> None:
    stopped, browser = undone.ours[Instance], undone.cast.browser("root")
    running = make_rows(undone.cast, undone.cast.project, undone.cast.adam, undone.ours, number=7)[Instance]
    Instance.objects.filter(pk=running.pk).update(state="running")
    told = do(browser, "start", stopped, running)
    assert "web-0: Start has begun." in told and "web-7: This is not possible while the state is" in told
    stopped.refresh_from_db()
    running.refresh_from_db()
    assert (stopped.state, running.state) == ("starting", "running")
    operation = Operation.objects.get(kind="instance.start", target=stopped, state="queued", actor=undone.cast.root)
    assert AuditEvent.objects.filter(action="instance.start", operation=operation, actor=undone.cast.root).exists()


@pytest.mark.parametrize(("model", "name"), [(Instance, "delete"), (Instance, "rebuild"), (Image, "retire"),
                                             (FloatingIp, "give_back"), (Vpc, "delete"), (ApiKey, "revoke"), (User, "lock_out")])
def test_what_hurts_is_asked_first(undone: Scene, model: type, name: str) -> None:
    row = undone.ours[model]
    before = model._base_manager.filter(pk=row.pk).values().get()
    asked = undone.cast.browser("root").post(page(model), {"action": name, "_selected_action": [row.pk]})
    assert asked.status_code == 200 and 'name="confirmed"' in asked.content.decode()
    assert str(escape(asked.context["action"].confirm)) in asked.content.decode()
    assert model._base_manager.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize(("name", "said", "state"), [("delete", "Delete has begun.", "recycling"),
                                                     ("purge", "Delete for good has begun.", "deleting"),
                                                     ("rescue", "Rescue has begun.", "rescuing"),
                                                     ("rebuild", "Rebuild has begun.", "rebuilding")])
def test_it_is_done_to_an_instance_once_it_is_confirmed(undone: Scene, name: str, said: str, state: str) -> None:
    row = undone.ours[Instance]
    Snapshot.objects.update(state="deleted", deleted_at=database_now())  # they would keep it from being rebuilt
    assert said in do(undone.cast.browser("root"), name, row, confirmed="yes")
    row.refresh_from_db()
    assert row.state == state


def test_images_are_offered_for_rescue(undone: Scene) -> None:
    image, browser = undone.ours[Image], undone.cast.browser("root")
    for name, wanted in (("for_rescue", True), ("not_for_rescue", False)):
        do(browser, name, image)
        image.refresh_from_db()
        assert image.is_for_rescue is wanted
    assert AuditEvent.objects.filter(action="image.rescue", actor=undone.cast.root).count() == 2


def test_a_vpc_in_use_says_why_it_stays(undone: Scene) -> None:
    assert "net-0: " in (told := do(undone.cast.browser("root"), "delete", undone.ours[Vpc], confirmed="yes")) and "port" in told
    assert Vpc.objects.live().filter(pk=undone.ours[Vpc].pk).exists()


def test_a_floating_ip_that_is_in_use_is_not_released(undone: Scene) -> None:
    row = undone.ours[FloatingIp]
    assert "not possible" in do(undone.cast.browser("root"), "give_back", row, confirmed="yes")
    assert "Disassociate" in do(undone.cast.browser("root"), "take_off", row, confirmed="yes")
    row.refresh_from_db()
    assert row.state == "disassociating"


def test_a_key_is_revoked_and_a_person_locked_out_but_nobody_locks_themselves_out(undone: Scene) -> None:
    browser, key, vera = undone.cast.browser("root"), undone.ours[ApiKey], undone.cast.vera
    do(browser, "revoke", key, confirmed="yes")
    key.refresh_from_db()
    assert key.revoked_at
    do(browser, "lock_out", vera, undone.cast.root, confirmed="yes")
    assert set(User.objects.filter(is_active=False)) == {vera}
    assert AuditEvent.objects.get(action="user.update", target_id=str(vera.pk)).after == {"is_active": False}


def test_a_last_owner_is_not_locked_out_and_an_invitation_is_revoked(undone: Scene) -> None:
    browser, invitation = undone.cast.browser("root"), undone.ours[Invitation]
    assert "would have no owner any more" in do(browser, "lock_out", undone.cast.alice, confirmed="yes")
    assert not User.objects.filter(is_active=False).exists()
    do(browser, "revoke", invitation, confirmed="yes")
    invitation.refresh_from_db()
    assert invitation.state == "revoked"


def test_the_button_on_a_rows_page_leads_back_to_it_and_is_off_where_it_would_be_refused(undone: Scene) -> None:
    browser, row = undone.cast.browser("root"), undone.ours[Instance]
    shown = browser.get(page(Instance, "change", row.pk)).content.decode()
    assert 'value="start" class="act">' in shown and 'value="stop" class="act" disabled>' in shown
    answer = browser.post(page(Instance), {"action": "start", "_selected_action": [row.pk], "back": "1"})
    assert answer["Location"] == page(Instance, "change", row.pk)


def test_acts_are_for_those_who_may_change_the_model(undone: Scene) -> None:
    host = undone.ours[Host]
    onlooker, keeper = staff(undone, "view_host"), undone.cast.browser("root")
    shown = onlooker.get(page(Host, "change", host.pk)).content.decode()
    assert 'class="act"' not in shown and 'value="enter_maintenance"' not in onlooker.get(page(Host)).content.decode()
    do(onlooker, "enter_maintenance", host)
    assert not Host.objects.get(pk=host.pk).is_in_maintenance
    clerk = User.objects.get(username="clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="change_host"))
    do(onlooker, "enter_maintenance", host)
    assert Host.objects.get(pk=host.pk).is_in_maintenance
    do(keeper, "leave_maintenance", host)
    assert not Host.objects.get(pk=host.pk).is_in_maintenance


def test_not_more_at_once_than_a_person_oversees(undone: Scene) -> None:
    rows = [Instance(project=undone.cast.project, region=undone.cast.region, name=f"many-{number}", state="stopped",
                     type=undone.ours[Instance].type, vcpus=1, memory_mib=1, image=undone.ours[Image], zone=undone.cast.zone,
                     host=undone.ours[Host]) for number in range(MOST_AT_ONCE + 1)]
    for row in rows:
        row.save()
    assert f"At most {MOST_AT_ONCE} at once." in do(undone.cast.browser("root"), "start", *rows)
    assert not Instance.objects.filter(state="starting").exists()
