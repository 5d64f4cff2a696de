"""What the hypervisor contract says of the agent in a guest, on every driver; and what a hostile one comes to."""
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import GuestCard, Unfenced
from compute.hosts.drivers.libvirt import agent
from compute.hosts.drivers.libvirt.hypervisor import LibvirtHypervisor
from compute.hosts.drivers.spec import Channel
from portal.kernel.errors import HostFault, StaleGeneration

from .stands import Stand
from .test_hypervisor_contract import started

CARD = ("eth0", "0a:4d:00:00:00:01", ["10.0.0.5/24"])


def asked(stand: Stand, spec: Any, generation: int | None = None) -> dict[str, Callable[[], object]]:
    """Everything that is asked of an agent, as an actor of that generation."""
    driver, mine = stand.hypervisor(), (spec.uuid, generation or spec.generation)
    return {"password": lambda: driver.set_guest_password(*mine, user="root", hashed="$6$s$h"),
            "clock": lambda: driver.set_guest_clock(*mine), "freeze": lambda: driver.ensure_frozen(*mine)}


@pytest.mark.needs("guest agent")
def test_an_agent_tells_and_does(stand: Stand) -> None:
    spec = started(stand)
    stand.hand.install_agent(spec.uuid, CARD)
    driver, mine = stand.hypervisor(), (spec.uuid, spec.generation)
    assert driver.capabilities.has_agent
    assert driver.guest_cards(spec.uuid) == (GuestCard(name="eth0", mac=CARD[1], addresses=("10.0.0.5/24",)),)
    for _again in range(2):
        for do in asked(stand, spec).values():
            do()
    assert stand.hand.agent(spec.uuid) == {"cards": [list(CARD)], "users": {"root": "$6$s$h"}, "frozen": True, "clock_set": 2}
    for _again in range(2):
        driver.ensure_thawed(*mine)
    assert not stand.hand.agent(spec.uuid)["frozen"]
    with pytest.raises(HostFault) as refused:
        driver.set_guest_password(*mine, user="nobody-of-it", hashed="$6$s$h")
    assert str(reasons.GUEST_REFUSES) in refused.value.detail
    stand.hand.pause(spec.uuid)
    assert driver.guest_cards(spec.uuid) is None


def test_without_an_agent_nothing_is_told_and_nothing_done(stand: Stand) -> None:
    spec, begun = started(stand), time.monotonic()
    assert stand.hypervisor().guest_cards(spec.uuid) is None
    assert stand.hypervisor().guest_cards(uuid4()) is None
    for do in asked(stand, spec).values():
        with pytest.raises(HostFault):
            do()
    assert time.monotonic() - begun < 10


def test_what_is_off_or_gone_is_thawed_and_nobody_acts_for_an_older_generation(stand: Stand) -> None:
    spec = stand.new_domain(generation=3)
    stand.hypervisor().ensure_thawed(uuid4(), 1)
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_thawed(spec.uuid, 3)
    stand.hypervisor().ensure_started(spec.uuid, 3)
    for do in asked(stand, spec, generation=2).values():
        with pytest.raises(StaleGeneration):
            do()


# -- a guest is not to be believed ---------------------------------------------------------------------------------

LINE = f"<target type='virtio' name='{Channel().name}' state='connected'/>"
CONNECTED = f"<domain><devices><channel>{LINE}</channel></devices></domain>"


class Guest:
    """A domain whose agent does as the test says."""

    def __init__(self, answers: Callable[[], object]) -> None:
        self.answers, self.limit = answers, None

    def XMLDesc(self) -> str:
        return CONNECTED

    def isActive(self) -> bool:
        return True

    def agentSetResponseTimeout(self, seconds: int) -> None:
        self.limit = seconds

    def interfaceAddresses(self, _source: int) -> object:
        return self.answers()

    def fsThaw(self) -> object:
        return self.answers()

    def setUserPassword(self, *_values: object) -> object:
        return self.answers()


class Alive:
    def is_alive(self) -> bool:
        return True


class Driver(LibvirtHypervisor):
    def __init__(self, guest: Guest) -> None:
        self._address, self._session, self._fence, self._is_qemu, self._guest = "nowhere", Alive(), Unfenced(), True, guest

    def _ours(self, _uuid: Any, generation: int) -> tuple[Any, int]:
        return self._guest, generation

    def _lookup(self, _uuid: Any) -> Any:
        return self._guest


def failing(code: int, text: str) -> Callable[[], object]:
    def fail() -> None:
        error = libvirt.libvirtError(text)
        error.err = (code, 10, text, 2, "", None, None, -1, -1)
        raise error
    return fail


def test_nobody_waits_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_LIMIT_S", 0.2)
    guest, begun = Guest(lambda: time.sleep(5)), time.monotonic()
    assert Driver(guest).guest_cards(uuid4()) is None
    with pytest.raises(HostFault) as silent:
        Driver(guest).ensure_thawed(uuid4(), 1)
    assert str(reasons.NO_AGENT) in silent.value.detail
    assert time.monotonic() - begun < 2 and 0 < guest.limit <= 5


@pytest.mark.parametrize(("code", "reason"), [
    (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, reasons.NO_AGENT), (112, reasons.NO_AGENT), (113, reasons.GUEST_REFUSES),
    (libvirt.VIR_ERR_INTERNAL_ERROR, reasons.GUEST_REFUSES)])
def test_its_words_decide_nothing_and_are_not_repeated(code: int, reason: object, caplog: pytest.LogCaptureFixture) -> None:
    """Said by a host, these words would mean that it cannot be reached, or that its disk is full."""
    words = "unable to execute QEMU agent command: received hangup, no space left, hunter2-in-base64"
    with pytest.raises(HostFault) as refused:
        Driver(Guest(failing(code, words))).set_guest_password(uuid4(), 1, user="root", hashed="$6$x")
    assert type(refused.value) in (HostFault, agent.NoAgent) and str(reason) in refused.value.detail
    notes = "".join(getattr(refused.value, "__notes__", ()))
    assert "hunter2" not in caplog.text + refused.value.detail + notes and refused.value.__cause__ is None


def test_what_it_tells_of_its_cards_is_checked_and_cut_to_size() -> None:
    good = {"hwaddr": "0A:4D:00:00:00:01", "addrs": [{"addr": "10.0.0.5", "prefix": 24}, {"addr": "fe80::1", "prefix": 64}]}
    told = {"lo": {"hwaddr": "00:00:00:00:00:00", "addrs": []}, "eth0": good, "<script>": good, "x" * 33: good, "é": good,
            "eth1": {"hwaddr": "nonsense", "addrs": []}, "eth2": {"hwaddr": None, "addrs": None},
            "eth3": {"hwaddr": good["hwaddr"], "addrs": [
                {"addr": "10.0.0.999", "prefix": 24}, {"addr": "<b>", "prefix": 1}, {"addr": "::1", "prefix": 999}, {}, None]}}
    cards = agent.cards_of(told)
    assert [(card.name, card.mac, card.addresses) for card in cards] == [
        ("eth0", "0a:4d:00:00:00:01", ("10.0.0.5/24", "fe80::1/64")), ("eth3", "0a:4d:00:00:00:01", ())]
    many = {f"eth{number}": good | {"addrs": good["addrs"] * 100} for number in range(1000)}
    assert len(agent.cards_of(many)) == agent.MOST_CARDS
    assert max(len(card.addresses) for card in agent.cards_of(many)) == agent.MOST_ADDRESSES
    assert agent.cards_of(None) == ()
