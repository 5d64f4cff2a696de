"""The catalogue in admin: checked forms, retired instead of deleted, every edit in the trail with before and after."""
import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model

from billing.models import PriceBook
from compute.hosts.models import Endpoint
from compute.instances.models import InstanceType
from compute.network.models import AddressPool
from portal.kernel.models import AuditEvent, Operation, Region, Zone
from storage.models import Image, Pool
from tenants.models import Organization, OrganizationUserBinding, Quota, User
from tenants.roles import bind
from tests.portal.admin.scene import page, read_only, staff
from tests.portal.scenery import Scene

EDITED = [model for model in admin.site._registry if model not in read_only()]
JUNK = ("", "\0", "x" * 6000, "-1", "9" * 400, "1e400", "NaN", "\N{SNOWMAN}", "<script>", "00000000-0000-0000-0000-000000000000")
pytestmark = pytest.mark.django_db


def label(model: type[Model]) -> str:
    return model._meta.label


def trail(action: str) -> AuditEvent:
    return AuditEvent.objects.get(action=action)


@pytest.mark.parametrize("model", EDITED, ids=label)
def test_no_nonsense_in_a_form_breaks_it(undone: Scene, model: type[Model]) -> None:
    browser, count = undone.cast.browser("root"), model._base_manager.count()
    names = {field.name for field in model._meta.fields} | {"address", "zone", "valid_from_0", "valid_from_1", "password1"}
    inlines = {f"{name}-{form}_FORMS": "0" for name in ("quotas", "projectuserbinding_set", "projectgroupbinding_set",
               "organizationuserbinding_set", "organizationgroupbinding_set") for form in ("TOTAL", "INITIAL")}
    for junk in JUNK:
        answer = browser.post(page(model, "add"), dict.fromkeys(names, junk) | inlines)
        assert answer.status_code in (200, 302, 403), junk
    assert model._base_manager.count() - count <= len(JUNK)


@pytest.mark.parametrize("model", [Region, Zone, InstanceType, AddressPool, PriceBook, Pool], ids=label)
def test_what_is_used_is_not_deleted_alone_or_in_bulk(undone: Scene, model: type[Model]) -> None:
    browser, row = undone.cast.browser("root"), undone.ours[model]
    assert browser.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    browser.post(page(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert model._base_manager.filter(pk=row.pk).exists()
    assert "delete_selected" not in browser.get(page(model)).content.decode()


def test_what_nobody_used_is_deleted(undone: Scene) -> None:
    row = InstanceType.objects.create(slug="typo", name="Typo", vcpus=1, memory_mib=1)
    assert undone.cast.browser("root").post(page(InstanceType, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not InstanceType.objects.filter(pk=row.pk).exists() and trail("instancetype.delete").target_name == "Typo"


@pytest.mark.parametrize(("model", "name", "column"), [
    (Region, "close", "is_open"), (Zone, "close", "is_open"), (InstanceType, "retire", "is_offered"),
    (AddressPool, "close", "is_open")], ids=str)
def test_it_is_retired_and_that_is_in_the_trail(undone: Scene, model: type[Model], name: str, column: str) -> None:
    row = undone.ours[model]
    undone.cast.browser("root").post(page(model), {"action": name, "_selected_action": [row.pk]})
    assert getattr(model.objects.get(pk=row.pk), column) is False
    event = trail(f"{model._meta.model_name}.update")
    assert (event.actor, event.before, event.after) == (undone.cast.root, {column: True}, {column: False})


def test_a_sold_types_size_stays_what_it_was(undone: Scene) -> None:
    row = undone.ours[InstanceType]
    undone.cast.browser("root").post(page(InstanceType, "change", row.pk), {
        "name": "Tiny", "slug": "tiny", "vcpus": "99", "memory_mib": "99", "root_disk_gib": "2", "is_offered": "on"})
    row = InstanceType.objects.get(pk=row.pk)
    assert (row.name, row.slug, row.vcpus, row.memory_mib, row.root_disk_gib) == ("Tiny", "small", 1, 256, 2)
    event = trail("instancetype.update")
    assert event.before == {"name": "Small", "root_disk_gib": 1} and event.after == {"name": "Tiny", "root_disk_gib": 2}


def test_an_image_is_hidden_shown_and_retired(undone: Scene) -> None:
    row, browser = undone.ours[Image], undone.cast.browser("root")
    for name, column, value in (("publish", "visibility", "public"), ("hide", "visibility", "private"),
                                ("retire", "state", "deleted")):
        browser.post(page(Image), {"action": name, "_selected_action": [row.pk], "confirmed": "yes"})
        assert getattr(Image.objects.get(pk=row.pk), column) == value
    assert AuditEvent.objects.filter(action="image.visibility", resource=row).count() == 2
    browser.post(page(Image), {"action": "retire", "_selected_action": [row.pk], "confirmed": "yes"})
    assert trail("image.retire").before == {"state": "active"}


def test_a_pool_is_checked_and_its_host_prepared_to_make_it(undone: Scene) -> None:
    browser, host = undone.cast.browser("root"), undone.ours[Pool].host
    form = {"host": host.pk, "name": "fast", "path": "no/where", "pool_class": "nvme"}
    assert "An absolute path" in browser.post(page(Pool, "add"), form).content.decode()
    assert browser.post(page(Pool, "add"), form | {"path": "/srv/fast/"}).status_code == 302
    made = Pool.objects.get(name="fast")
    assert (made.path, made.region, made.pool_class) == ("/srv/fast", host.region, "nvme")
    assert Operation.objects.filter(kind="host.prepare", arguments__host=str(host.pk), state="queued").exists()


def test_a_pool_with_volumes_stays_where_they_lie(undone: Scene) -> None:
    row = undone.ours[Pool]
    undone.cast.browser("root").post(page(Pool, "change", row.pk), {"name": "x", "path": "/else", "pool_class": "x"})
    assert Pool.objects.get(pk=row.pk).path == "/nowhere"


def test_secrets_are_masked_and_rows_told_by_name(undone: Scene) -> None:
    browser = undone.cast.browser("root")
    browser.post(page(Endpoint, "change", undone.ours[Endpoint].pk), {
        "name": "sim-1", "driver": "simulated", "uri": "simulated:///else", "mode": "managed", "private_key": "KEEP ME SECRET"})
    event = trail("endpoint.update")
    assert event.before["uri"] == "simulated:///nowhere" and event.after == {"uri": "simulated:///else", "private_key": "***"}
    browser.post(page(Zone, "add"), {"region": undone.cast.region.pk, "slug": "b", "name": "B", "is_open": "on"})
    assert trail("zone.create").after["region"] == "Lab"


def test_bindings_and_quotas_in_an_organization_are_told_with_before_and_after(undone: Scene) -> None:
    organization, browser = undone.ours[Organization], undone.cast.browser("root")
    quota, owner = undone.ours[Quota], OrganizationUserBinding.objects.get(content_object=organization)
    form = {"name": organization.name, "plan": "standard"} | {
        f"{name}-{kind}_FORMS": count for name, count in (
            ("organizationuserbinding_set", 1), ("organizationgroupbinding_set", 0), ("quotas", 1))
        for kind in ("TOTAL", "INITIAL")}
    form |= {"organizationuserbinding_set-0-id": owner.pk, "organizationuserbinding_set-0-content_object": organization.pk,
             "organizationuserbinding_set-0-user": owner.user_id, "organizationuserbinding_set-0-permission": owner.permission_id,
             "organizationuserbinding_set-0-DELETE": "on", "quotas-0-id": quota.pk, "quotas-0-organization": organization.pk,
             "quotas-0-region": quota.region_id, "quotas-0-dimension": "instances", "quotas-0-limit": 3}
    alone = browser.post(page(Organization, "change", organization.pk), form)
    assert alone.status_code == 200 and "would have no owner any more" in alone.content.decode()
    bind(undone.cast.vera, "owner", organization)
    assert browser.post(page(Organization, "change", organization.pk), form).status_code == 302
    changed, gone = trail("quota.update"), trail("organizationuserbinding.delete")
    assert (changed.before, changed.after, changed.organization) == ({"limit": 10}, {"limit": 3}, organization)
    assert "alice" in gone.before["row"] and gone.organization == organization


def test_staff_that_may_edit_users_cannot_raise_itself(undone: Scene) -> None:
    clerk, vera = staff(undone, "view_user", "change_user", "view_group", "change_group"), undone.cast.vera
    form = {"username": "vera", "email": "v@example.org", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    clerk.post(page(User, "change", vera.pk), form)
    vera.refresh_from_db()
    assert (vera.email, vera.is_staff, vera.is_superuser) == ("v@example.org", False, False)
    root = undone.cast.root
    assert clerk.post(page(User, "change", root.pk), form).status_code == 403
    word = {"password1": "a" * 20, "password2": "a" * 20}
    assert clerk.post(f"/admin/tenants/user/{root.pk}/password/", word).status_code == 403
    assert clerk.post(page(Group, "change", undone.ours[Group].pk), {"name": "x"}).status_code == 403


def test_a_new_password_is_in_the_trail_and_not_told(undone: Scene) -> None:
    word, vera = "correct horse battery staple", undone.cast.vera
    sent = {"password1": word, "password2": word, "usable_password": "true"}
    assert undone.cast.browser("root").post(f"/admin/tenants/user/{vera.pk}/password/", sent).status_code == 302
    assert trail("user.password").target_id == str(vera.pk)
    assert not AuditEvent.objects.filter(after__icontains="battery").exists()
