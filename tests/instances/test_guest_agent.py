"""What is done by the agent in a guest: addresses, passwords, the clock, and file systems that stand still for a moment."""
from datetime import timedelta
from io import BytesIO
from typing import Any

import pycdlib
import pytest
import yaml
from django.db import transaction
from django.urls import reverse

from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances import freezing, guarding, passwords
from compute.instances.errors import InstanceLocked, NoGuestAgent
from compute.instances.guests import Guest
from compute.instances.hashing import hashed
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.instances.reconcile import reconcile_host
from compute.instances.seed import build_seed
from portal.kernel.errors import Busy, HostFault, StateConflict
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from tests.instances.doing import do
from tests.world import World, drain

CARD = ("eth0", "0a:4d:00:00:00:01", ["10.0.0.5/24", "fe80::1/64"])
CHOSEN = "Tr0ub4dor&3 x"


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


@pytest.fixture
def hand(world: World) -> SimulatedHost:
    return SimulatedHost(world.host.endpoint.uri)


@pytest.fixture
def heard(world: World, made: Instance, hand: SimulatedHost) -> Instance:
    """One whose agent answers."""
    hand.install_agent(made.pk, CARD)
    return look(world, made)


def look(world: World, instance: Instance) -> Instance:
    reconcile_host(world.host.pk)
    return Instance.objects.get(pk=instance.pk)


def long_ago(instance: Instance) -> None:
    """As if a minute had passed since it was asked."""
    ago = database_now() - timedelta(minutes=2)
    Instance.objects.filter(pk=instance.pk).update(agent_asked_at=ago, state_changed_at=ago - timedelta(minutes=1))


def test_what_a_guest_tells_is_kept_and_asked_once_a_minute(world: World, made: Instance, hand: SimulatedHost) -> None:
    assert Guest.of(made) is None
    first = look(world, made)
    assert (Guest.of(first).answers, Guest.of(first).cards) == (False, [])
    hand.install_agent(made.pk, CARD)
    assert not Guest.of(look(world, made)).answers, "asked again too soon"
    long_ago(made)
    version = Instance.objects.get().version
    again = look(world, made)
    assert Guest.of(again).answers and again.version > version
    assert Guest.of(again).cards == [{"name": "eth0", "mac": CARD[1], "addresses": CARD[2]}]
    long_ago(made)
    assert look(world, made).version == again.version, "no news, and yet the page is drawn anew"
    hand.remove_agent(made.pk)
    long_ago(made)
    assert (Guest.of(silent := look(world, made)).answers, silent.guest_cards) == (False, [])
    assert Guest.of(do(made, "stop", force=True)) is None


def test_one_that_hangs_keeps_nobody_from_being_asked(world: World, made: Instance, hand: SimulatedHost) -> None:
    hand.install_agent(made.pk, CARD)
    hand.fail("guest_cards", kind="transient")
    assert not Guest.of(look(world, made)).answers
    assert Instance.objects.get().observed_state == "running"


def secrets_in_sight() -> str:
    """What others may read of it."""
    rows = [*Operation.objects.values_list("arguments", "facts", "result", "history"),
            *AuditEvent.objects.values_list("before", "after")]
    return str(rows)


def test_a_password_is_reset_and_is_nowhere(world: World, heard: Instance, hand: SimulatedHost) -> None:
    operation = passwords.reset(heard, user="root", password=CHOSEN, actor=world.people["oscar"])
    kept = Instance.objects.get().next_password_hash
    assert kept.startswith("$6$") and hashed(CHOSEN) != kept, "not salted"
    with pytest.raises(Busy):
        passwords.reset(heard, user="root", password=CHOSEN, actor=world.people["oscar"])
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded" and operation.result["user"] == "root"
    assert hand.agent(heard.pk)["users"] == {"root": kept}
    assert Instance.objects.get().next_password_hash == "" and Instance.objects.get().state == "running"
    assert CHOSEN not in secrets_in_sight() and "$6$" not in secrets_in_sight()
    assert AuditEvent.objects.get(action="instance.reset_password").after == {"user": "root"}


def test_the_guest_may_refuse_and_nothing_is_left(world: World, heard: Instance) -> None:
    operation = passwords.reset(heard, user="nobody-of-it", password=CHOSEN, actor=world.people["oscar"])
    drain()
    operation.refresh_from_db()
    assert operation.state == "failed" and Instance.objects.get().next_password_hash == ""
    assert Instance.objects.get().state == "running"


def test_who_is_refused(world: World, made: Instance, hand: SimulatedHost) -> None:
    def reset() -> Any:
        return passwords.reset(made, user="root", password=CHOSEN, actor=world.people["oscar"])

    for _known in range(2):
        with pytest.raises(NoGuestAgent) as refused:
            reset()
        look(world, made)
    assert "qemu-guest-agent" in refused.value.detail
    hand.install_agent(made.pk, CARD)
    long_ago(made)
    look(world, made)
    guarding.lock(made, actor=world.people["alice"])
    with pytest.raises(InstanceLocked):
        reset()
    guarding.unlock(made, actor=world.people["alice"])
    do(made, "stop", force=True)
    with pytest.raises(StateConflict):
        reset()
    do(made, "start")
    with pytest.raises(NoGuestAgent):  # whoever answered before, nobody has been asked since it was started
        reset()


def test_by_api_and_page_it_is_told_once(world: World, heard: Instance, browser: Any, hand: SimulatedHost) -> None:
    client, api = browser("oscar"), f"/api/v1/instances/{heard.pk}/"
    told = client.get(api).json()["guest"]
    assert (told["agent"], told["cards"]) == ("answers", [{"name": "eth0", "mac": CARD[1], "addresses": CARD[2]}])
    for body, field in (({"user": "root; reboot"}, "user"), ({"password": "short"}, "password"),
                        ({"password": "zwölf Zeichen!"}, "password"), ({"password": "two\nlines of it"}, "password")):
        answer = client.post(f"{api}actions/reset-password/", body, content_type="application/json")
        assert answer.status_code == 400 and field in answer.json()["errors"], body
    answer = client.post(f"{api}actions/reset-password/", {}, content_type="application/json", HTTP_IDEMPOTENCY_KEY="once")
    assert answer.status_code == 202 and len(answer.json()["password"]) == 20 and answer.json()["user"] == "root"
    again = client.post(f"{api}actions/reset-password/", {}, content_type="application/json", HTTP_IDEMPOTENCY_KEY="once")
    assert answer.json()["password"] not in again.content.decode()
    drain()
    hash_ = hand.agent(heard.pk)["users"]["root"]
    page = client.get(reverse("instances:detail", args=[heard.pk])).content.decode()
    address = reverse("instances:reset-password", args=[heard.pk])
    assert address in page and "10.0.0.5/24" in page
    shown = client.post(address, {"user": "root", "password": CHOSEN})
    assert shown.status_code == 200 and "Tr0ub4dor&amp;3 x" in shown.content.decode() and shown["Cache-Control"] == "no-store"
    drain()
    assert hand.agent(heard.pk)["users"]["root"] not in ("", hash_)
    assert browser("vera").post(address, {"user": "root"}).status_code == 403
    assert browser("mallory").post(address, {"user": "root"}).status_code == 404


@pytest.mark.parametrize("verb", ["pause", "suspend"])
def test_what_stood_still_gets_the_time(world: World, heard: Instance, hand: SimulatedHost, verb: str) -> None:
    do(heard, verb)
    assert do(heard, "resume").state == "running"
    assert hand.agent(heard.pk)["clock_set"] == 1
    hand.remove_agent(heard.pk)
    do(heard, verb)
    assert do(heard, "resume").state == "running", "without an agent it goes on too"


class Walk:
    """What steps need of an operation that runs."""

    def guarded(self) -> Any:
        return transaction.atomic()

    def before(self, verb: str) -> None: ...

    def after(self, verb: str) -> None: ...


def test_what_was_left_frozen_is_thawed_in_time(world: World, heard: Instance, hand: SimulatedHost) -> None:
    freezing.freeze(Walk(), heard, longest=timedelta(minutes=1))
    assert hand.agent(heard.pk)["frozen"]
    look(world, heard)
    assert hand.agent(heard.pk)["frozen"], "thawed under the hands of whoever copies"
    Instance.objects.update(frozen_until=database_now() - timedelta(seconds=1))  # and its worker was killed
    hand.fail("ensure_thawed", kind="transient")
    assert look(world, heard).frozen_until and hand.agent(heard.pk)["frozen"]
    assert look(world, heard).frozen_until is None and not hand.agent(heard.pk)["frozen"]
    freezing.freeze(Walk(), heard)
    freezing.thaw(Walk(), heard)
    assert (Instance.objects.get().frozen_until, hand.agent(heard.pk)["frozen"]) == (None, False)


def test_a_freeze_that_fails_leaves_nothing_frozen(world: World, heard: Instance, hand: SimulatedHost) -> None:
    hand.fail("ensure_frozen", kind="lost")
    with pytest.raises(HostFault):
        freezing.freeze(Walk(), heard)
    assert (Instance.objects.get().frozen_until, hand.agent(heard.pk)["frozen"]) == (None, False)


def vendor_data(seed: bytes) -> dict[str, Any]:
    disc, found = pycdlib.PyCdlib(), BytesIO()
    disc.open_fp(BytesIO(seed))
    disc.get_file_from_iso_fp(found, rr_path="/vendor-data")
    return yaml.safe_load(found.getvalue())


def test_the_first_password_is_hashed_before_it_is_kept(world: World, browser: Any) -> None:
    order = world.order(password=CHOSEN)
    assert CHOSEN not in repr(order)
    create_instance(order, actor=world.people["alice"])
    drain()
    made = Instance.objects.get()
    assert made.password_hash.startswith("$6$")
    assert CHOSEN not in secrets_in_sight() and "$6$" not in secrets_in_sight()
    seed = build_seed(instance_id="i", hostname="web", public_keys=[], user_data="#!/bin/sh", macs=[],
                      password_hash=made.password_hash)
    told = vendor_data(seed)
    assert told["password"] == made.password_hash and told["chpasswd"] == {"expire": False} and "write_files" in told
    assert "password" not in vendor_data(build_seed(instance_id="i", hostname="web", public_keys=[], user_data="", macs=[]))
    body = {"project": str(world.project.pk), "region": str(world.region.pk), "type": str(world.type.pk),
            "image": str(world.image.pk), "name": "other", "password": CHOSEN}
    answer = browser("alice").post("/api/v1/instances/", body, content_type="application/json")
    assert answer.status_code == 202, answer.json()
    assert Instance.objects.get(name="other").password_hash.startswith("$6$") and CHOSEN not in answer.content.decode()
    refused = browser("alice").post("/api/v1/instances/", body | {"password": "kurz"}, content_type="application/json")
    assert refused.status_code == 400 and "password" in refused.json()["errors"]
