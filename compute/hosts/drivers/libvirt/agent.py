"""The agent in the guest (QEMU's), asked through libvirt.

It is a program of the tenant's: it may lie, hang, or answer with anything. Nothing waits longer for it than `_LIMIT_S`, what it
tells of itself is checked and cut to size, and its words are kept out of our errors and logs, which others read.
"""
import logging
import re
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from ipaddress import ip_interface
from typing import Any
from uuid import UUID

import libvirt

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import GuestCard
from compute.hosts.drivers.spec import Channel
from portal.kernel.errors import HostFault

from .faults import Gone, translate
from .owned import Owned
from .session import begin

log = logging.getLogger(__name__)
# For an answer; libvirt first asks whether anybody listens, for up to 5 s. What the guest starts a program for, or writes out its
# memory, takes longer.
_ANSWER_S, _DOING_S = 3, 6
# libvirt itself may hang over a guest that does.
_LIMIT_S = 9
MOST_CARDS = MOST_ADDRESSES = 16
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.@: -]{1,32}", re.ASCII)
_TIMED_OUT = 112  # VIR_ERR_AGENT_COMMAND_TIMEOUT, which older bindings do not name
_SILENT = {libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED, _TIMED_OUT,
           libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_INVALID}


class NoAgent(HostFault):
    """Nobody answers in the guest."""

    def __init__(self) -> None:
        super().__init__(reasons.NO_AGENT)


class Agent(Owned):
    """The part of the hypervisor that speaks with guests."""

    def guest_cards(self, uuid: UUID) -> tuple[GuestCard, ...] | None:
        if not self._is_qemu:
            return None
        try:
            domain = self._lookup(uuid)
            source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
            return cards_of(self._ask_guest("guest.cards", domain, partial(domain.interfaceAddresses, source)))
        except (Gone, NoAgent):
            return None

    def set_guest_password(self, uuid: UUID, generation: int, *, user: str, hashed: str) -> None:
        domain, _ = self._ours(uuid, generation)
        flags = libvirt.VIR_DOMAIN_PASSWORD_ENCRYPTED
        self._ask_guest("guest.password", domain, partial(domain.setUserPassword, user, hashed, flags), answer_s=_DOING_S)

    def set_guest_clock(self, uuid: UUID, generation: int) -> None:
        domain, _ = self._ours(uuid, generation)
        self._ask_guest("guest.clock", domain, partial(domain.setTime, None, libvirt.VIR_DOMAIN_TIME_SYNC), answer_s=_DOING_S)

    def ensure_frozen(self, uuid: UUID, generation: int) -> None:
        """What is frozen already refuses to be frozen: it is thawed before."""
        domain, _ = self._ours(uuid, generation)
        with suppress(HostFault):
            self._ask_guest("guest.thaw", domain, domain.fsThaw)
        self._ask_guest("guest.freeze", domain, domain.fsFreeze, answer_s=_DOING_S)

    def ensure_thawed(self, uuid: UUID, generation: int) -> None:
        try:
            domain, _ = self._ours(uuid, generation)
            if self._is_qemu and self._call("domain.active", domain.isActive):
                self._ask_guest("guest.thaw", domain, domain.fsThaw)
        except Gone:
            return

    # -- parts -----------------------------------------------------------------------------------------------------

    def _ask_guest(self, verb: str, domain: libvirt.virDomain, question: Callable[[], object], *,
                   answer_s: int = _ANSWER_S) -> Any:
        """What the agent answers. Raises NoAgent, or HostFault when it refuses."""
        if not self._is_qemu:
            raise HostFault(reasons.NOT_SUPPORTED)
        if not self._is_listening(domain):
            raise NoAgent

        def ask() -> object:
            domain.agentSetResponseTimeout(answer_s)
            return question()

        told = self._call(verb, begin, ask)
        if not wait([told], _LIMIT_S).done:
            raise NoAgent
        try:
            return told.result()
        except libvirt.libvirtError as error:
            raise self._refusal(error, verb) from None
        except (ValueError, TypeError) as error:  # the binding makes no sense of what it was told
            raise NoAgent from error

    def _is_listening(self, domain: libvirt.virDomain) -> bool:
        """Whether a program in the guest has opened its end: as long as none has, nobody has to be waited for."""
        names = (target for target in self._described(domain).iterfind("devices/channel/target"))
        return any(one.get("name") == Channel().name and one.get("state") == "connected" for one in names)

    def _refusal(self, error: libvirt.libvirtError, verb: str) -> HostFault:
        """Never by its text, which the guest may have chosen."""
        if not self._session.is_alive():
            return translate(error, verb, is_alive=False)
        log.warning("libvirt %s: the guest agent failed with code %s", verb, error.get_error_code())
        return NoAgent() if error.get_error_code() in _SILENT else HostFault(reasons.GUEST_REFUSES)


def cards_of(told: Any) -> tuple[GuestCard, ...]:
    """What makes sense of what a guest told of its cards, loopback left out."""
    cards = []
    for name, card in list((told or {}).items())[:MOST_CARDS]:
        mac = str(card.get("hwaddr") or "").lower()
        if name != "lo" and _NAME.fullmatch(name) and _MAC.fullmatch(mac):
            addresses = [text for one in (card.get("addrs") or ())[:MOST_ADDRESSES] if (text := _address(one))]
            cards.append(GuestCard(name=name, mac=mac, addresses=tuple(addresses)))
    return tuple(cards)


def _address(told: Any) -> str:
    """`10.0.0.5/24`; empty for what is none."""
    try:
        return str(ip_interface(f"{told['addr']}/{told['prefix']}"))
    except (ValueError, KeyError, TypeError):
        return ""
