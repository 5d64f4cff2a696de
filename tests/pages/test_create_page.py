"""The create page: what it chooses at first, what it says beside each field, what it remembers, keys pasted on the way."""
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Network

import pytest
from django.urls import reverse

from billing import budgets
from billing.models import BudgetAlarm, Credit
from compute.instances import keys
from compute.instances.models import Instance, InstanceType, SshKey
from compute.network import operations
from compute.network.models import Port
from portal.kernel import remembered
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from storage.models import Image
from tenants.models import Quota
from tests.network.networked import Networked
from tests.pages.test_instances_on_networks import form_of
from tests.pages.test_spellings import PUBLIC_KEY


def test_what_was_chosen_last_is_chosen_again_while_it_is_there(networked: Networked, browser) -> None:
    world, client = networked.world, browser("alice")
    first = networked.default_subnet()
    second = operations.create_subnet(first.vpc, name="two", cidr=IPv4Network("10.0.128.0/24"), actor=None)
    older = Image.objects.create(project=world.project, region=world.region, name="older", state="active", virtual_size=1,
                                 files=world.image.files)
    kept = {"image": older.pk, "subnets": [first.pk, second.pk], "root_disk_gib": 3, "zone": world.zone.pk}
    assert client.post(reverse("instances:create"), form_of(networked, **kept)).status_code == 302
    form = client.get(reverse("instances:create")).context["form"]
    assert [form[name].value() for name in ("image", "root_disk_gib", "zone")] == [str(older.pk), 3, str(world.zone.pk)]
    assert form["subnets"].value() == [str(first.pk), str(second.pk)] and form["floating_ip"].value() is False
    older.move_to("deleted")
    assert client.get(reverse("instances:create")).context["form"]["image"].value() == str(world.image.pk)
    asked = client.get(reverse("instances:create"), {"image": "nonsense"}).context["form"]["image"].value()
    assert asked == str(world.image.pk)


def test_several_subnets_are_cards_in_the_order_shown(networked: Networked, browser) -> None:
    first = networked.default_subnet()
    second = operations.create_subnet(first.vpc, name="two", cidr=IPv4Network("10.0.128.0/24"), actor=None)
    sent = form_of(networked, subnets=[second.pk, first.pk], floating_ip="on", tags="env: prod", description="shop window")
    browser("alice").post(reverse("instances:create"), sent)
    cards = Port.objects.order_by("position")
    assert [card.subnet_id for card in cards] == [first.pk, second.pk]
    assert cards[0].floating_ip is not None
    made = Instance.objects.get()
    assert (made.tags, made.description) == ({"env": "prod"}, "shop window")


def test_a_pasted_key_is_added_once_and_given(networked: Networked, browser) -> None:
    client = browser("alice")
    for name in ("one", "two"):
        client.post(reverse("instances:create"), form_of(networked, name=name, public_keys=f"{PUBLIC_KEY}\r\n\r\n"))
    key = SshKey.objects.get()
    assert (key.name, key.public_key) == ("me@laptop", PUBLIC_KEY)
    assert [made.public_keys for made in Instance.objects.all()] == [[PUBLIC_KEY]] * 2
    assert AuditEvent.objects.filter(action="sshkey.create").count() == 1
    other = networked.post("instances", networked.scope | {
        "name": "three", "type": str(networked.world.type.pk), "image": str(networked.world.image.pk),
        "public_keys": [PUBLIC_KEY.rsplit(" ", 1)[0]]})
    assert other.status_code == 202 and SshKey.objects.count() == 1


def test_keys_without_a_name_of_their_own_get_one(networked: Networked) -> None:
    world, (key, blob, _comment) = networked.world, PUBLIC_KEY.split(" ")
    made = keys.take_key(world.project, world.region, f"{key} {blob} <b>", actor=None)
    assert re.fullmatch(r"key [\w-]{8}", made.name)


WRONG = [("name", "", "required"), ("public_keys", "nonsense", "not an SSH public key"), ("user_data", "echo", "starts with"),
         ("root_disk_gib", "0", "greater than or equal to 1"), ("count", "21", "less than or equal to 20"),
         ("tags", ":", "tags"), ("nonsense", "x", "")]


@pytest.mark.parametrize("others", [{}, {"name": ""}], ids=["others right", "others wrong"])
def test_each_field_is_checked_when_it_is_left(networked: Networked, browser, others: dict[str, str]) -> None:
    client = browser("alice")
    for field, value, word in WRONG:
        sent = form_of(networked, **others) | {field: value}
        text = client.post(f"{reverse('instances:check')}?field={field}", sent).content.decode()
        assert word in text and bool(word) == ("field-error" in text), field
    right = client.post(f"{reverse('instances:check')}?field=count", form_of(networked)).content.decode()
    assert "field-error" not in right and not Instance.objects.exists()


def test_sizes_that_cannot_be_had_say_why(networked: Networked, browser) -> None:
    world = networked.world
    InstanceType.objects.create(slug="unpriced", name="Unpriced", vcpus=1, memory_mib=256, root_disk_gib=1)
    small, client = world.type, browser("alice")

    def reasons() -> dict[str, str]:
        remembered.forget()
        text = client.post(reverse("instances:summary"), form_of(networked)).content.decode()
        return {kind.slug: re.search(rf'id="why-{kind.pk}"[^>]*>([^<]*)<', text)[1] for kind in InstanceType.objects.all()}

    assert reasons() == {"small": "", "unpriced": "It has no price here yet."}
    quota = Quota.objects.create(project=world.project, region=world.region, dimension="memory_mib", limit=100)
    assert reasons()["small"] == "Your quota has 100 MiB of memory left."
    quota.delete()
    type(world.host).objects.update(vcpus=1, memory_mib=small.memory_mib - 1)
    assert reasons()["small"] == "No host of this region is large enough."


def test_the_summary_says_that_a_budget_or_the_balance_refuses_it(networked: Networked, browser) -> None:
    client, organization, path = browser("alice"), networked.world.project.organization, reverse("instances:summary")
    sent, now = form_of(networked, tags="team: red"), database_now()
    assert "There is room for this now." in client.post(path, sent).content.decode()
    block = {"percent": 100, "basis": "actual", "actions": ["block"]}
    red = budgets.create_budget(organization, actor=None, name="Red", amount=Decimal(1), currency="CNY", tag_key="team",
                                tag_value="red", thresholds=[block])
    until = datetime(now.year + 1, 1, 31, 16, tzinfo=UTC)
    BudgetAlarm.objects.create(budget=red, since=now - timedelta(days=1), until=until, **block, amount=1, currency="CNY",
                               spent=2, forecast=3, at=now)
    remembered.forget()
    text = client.post(path, sent).content.decode()
    assert f"within it until {until:%Y-%m-%d}, or" in text and "There is room" not in text and "“Red”" in text
    text = browser("adam").post(path, sent).content.decode()  # of one project: the organization's budget is not his to read
    assert f"within it until {until:%Y-%m-%d}, or" in text and "Red" not in text and "There is room" not in text
    assert "There is room" in client.post(path, form_of(networked)).content.decode()
    type(organization).objects.filter(pk=organization.pk).update(plan="trial")
    Credit.objects.filter(organization=organization).delete()
    remembered.forget()
    text = client.post(path, form_of(networked)).content.decode()
    assert "credit left" in text and "There is room" not in text


def test_who_may_not_create_is_not_let_in(networked: Networked, browser) -> None:
    networked.default_subnet()
    text = browser("alice").get(reverse("instances:create")).content.decode()
    assert 'name="floating_ip"' in text and 'name="public_keys"' in text
    assert browser("oscar").get(reverse("instances:create")).status_code == 403
    assert browser("oscar").post(reverse("instances:create"), form_of(networked)).status_code == 403
    assert not Instance.objects.exists()
