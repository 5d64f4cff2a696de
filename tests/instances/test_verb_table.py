"""The verb table, every pair of a state and a verb: done as declared, or refused by naming what is possible."""
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from billing.seed import seed_prices
from compute.hosts.drivers.contract import Capabilities
from compute.hosts.models import Endpoint
from compute.instances.errors import NotSupported
from compute.instances.models import Instance, InstanceState, InstanceType, Snapshot
from compute.instances.operations import HANDLERS, act, create_instance
from compute.instances.urls import PAGES
from compute.instances.verbs import ACTIONS, VERBS, legal_verbs, offered
from compute.instances.wording import EXPECTED
from portal.kernel.errors import StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations import kinds
from tests.world import World, drain

WAYS = {"running": (), "stopped": ("stop",), "paused": ("pause",), "suspended": ("suspend",), "rescued": ("rescue",),
        "recycled": ("delete",)}
"""A settled state → how one comes there from running."""


def wishes_of(world: World, verb: str, instance: Instance) -> dict[str, Any]:
    """What the form of a verb would be sent: another size each time."""
    if verb in ("capture", "clone", "snapshot"):
        return {"name": f"{verb} of it"}
    if verb == "revert":
        return {"snapshot": snapshot_of(instance)}
    if verb != "resize":
        return {"image": world.image} if VERBS[verb].has_form else {}
    number = InstanceType.objects.count()
    seed_prices(world.region, [(f"instance.{state}", f"size-{number}", Decimal(1)) for state in ("running", "stopped")])
    return {"type": InstanceType.objects.create(slug=f"size-{number}", name="Another", vcpus=2, memory_mib=512)}


def do(world: World, instance: Instance, verb: str) -> Operation:
    return act(instance, verb, actor=world.people["alice"], **wishes_of(world, verb, instance))


def snapshot_of(instance: Instance) -> Snapshot | None:
    """One that was just taken, where that is possible."""
    if instance.state in VERBS["snapshot"].legal:
        act(instance, "snapshot", actor=None, name="before")
        drain()
        instance.refresh_from_db()
    return Snapshot.objects.filter(of_instance=instance).first()


def at_rest(world: World, state: str) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    instance = Instance.objects.latest("created_at")
    for verb in WAYS.get(state, ()):
        do(world, instance, verb)
        drain()
    instance.refresh_from_db()
    assert instance.state == (state if state in WAYS else "running")
    return instance


def test_the_table_is_whole() -> None:
    """Moves, kinds, handlers and labels are there for every entry; every settled state has a way on but the last."""
    assert VERBS.keys() == HANDLERS.keys() and ACTIONS.keys() == VERBS.keys() - {"delete", "purge"}
    for verb in VERBS.values():
        assert verb.operation in kinds and verb.in_flight in Instance.IN_FLIGHT and verb.settled not in Instance.IN_FLIGHT
        assert verb.has_form == (verb.name in PAGES)
        for state in verb.legal:
            then = VERBS[verb.instead.get(state, verb.name)]
            assert state in then.legal and then.in_flight in Instance.MOVES[state]
            assert (then.settled or state) in Instance.MOVES[then.in_flight]
        for other in (verb.passes_to, *verb.instead.values()):
            assert not other or VERBS[other].permission == verb.permission
        assert not verb.needs or verb.needs in asdict(Capabilities())
    settled = set(InstanceState.values) - Instance.IN_FLIGHT
    assert settled - set().union(*(verb.legal for verb in VERBS.values())) == {"deleted"}
    assert set(Instance.MOVES) == set(InstanceState) == set(Instance.TONES)


def test_what_is_not_in_the_table_is_refused_by_name_and_changes_nothing(world: World, browser) -> None:
    instance, client = at_rest(world, "running"), browser("alice")
    operations = Operation.objects.count()
    for state in InstanceState.values:
        Instance.objects.update(state=state, recycled_at="2026-01-01T00:00:00Z" if state == "recycled" else None)
        instance.refresh_from_db()
        since, legal = instance.state_changed_at, legal_verbs(instance)
        for name, verb in VERBS.items():
            assert bool(verb.why_not(instance)) == (name not in legal)
            if name in legal:
                continue
            with pytest.raises(StateConflict) as refusal:
                do(world, instance, name)
            assert refusal.value.facts["verbs"] == ",".join(legal) and refusal.value.facts["state"] == state
        refused = next(name for name in ACTIONS if name not in legal)
        answer = client.post(f"/api/v1/instances/{instance.pk}/actions/{refused}/", {}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"], answer.json()["verbs"]) == (409, "state_conflict", ",".join(legal))
        instance.refresh_from_db()
        assert (instance.state, instance.state_changed_at, Operation.objects.count()) == (state, since, operations)


@pytest.mark.parametrize("state", [*WAYS, "error"])
def test_what_is_in_the_table_is_done_as_declared(world: World, state: str) -> None:
    for name in (name for name, verb in VERBS.items() if state in verb.legal):
        instance = at_rest(world, state)
        if state == "error":
            Instance.objects.filter(pk=instance.pk).update(state="error")
            instance.refresh_from_db()
        verb = VERBS[name].on(instance)
        operation = do(world, instance, name)
        instance.refresh_from_db()
        assert (operation.kind, instance.state) == (verb.operation, verb.in_flight)
        drain()
        instance.refresh_from_db()
        assert instance.state == (verb.settled or state)
        assert instance.observed_state == EXPECTED.get(instance.state, instance.observed_state)


def test_what_the_hypervisor_lacks_is_greyed_out_and_refused(world: World, browser) -> None:
    instance = at_rest(world, "running")
    Endpoint.objects.update(capabilities=asdict(Capabilities(pauses=True)))
    instance = Instance.objects.get()
    assert not VERBS["pause"].why_not(instance) and VERBS["suspend"].why_not(instance)
    with pytest.raises(NotSupported):
        act(instance, "suspend", actor=None)
    client = browser("alice")
    for page in ("instances:detail", "instances:menu"):
        assert "hypervisor of its host cannot do this" in client.get(reverse(page, args=[instance.pk])).content.decode()
    answer = client.post(f"/api/v1/instances/{instance.pk}/actions/suspend/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_supported")
    assert Instance.objects.get().state == "running"


def test_in_the_bin_only_its_own_verbs_are_shown(world: World) -> None:
    shown = {state: [verb.name for verb in offered(Instance(state=state))] for state in (
        "running", "paused", "resuming", "error", "rescued", "recycled")}
    more, copies = ["resize", "rescue", "rebuild"], ["capture", "clone", "snapshot", "revert"]
    assert shown["running"] == ["start", "stop", "reboot", "pause", "suspend", *more, *copies, "delete", "purge"]
    assert shown["paused"] == shown["resuming"] == [
        "stop", "reboot", "pause", "suspend", "resume", *more, *copies, "delete", "purge"]
    assert shown["error"] == ["start", "stop", "reboot", "pause", "suspend", *more, *copies, "purge"]
    assert shown["rescued"] == ["start", "stop", "reboot", "pause", "suspend", "resize", "unrescue", "rebuild", *copies, "delete",
                                 "purge"]
    assert shown["recycled"] == ["restore", "purge"]
