"""Domains that are ours: found by UUID, and acted for by nobody of an older generation; and calls that take long."""
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.spec import NAMESPACE
from portal.kernel.errors import HostFault, StaleGeneration

from .faults import translate
from .session import Caller, begin, session_for

log = logging.getLogger(__name__)
PARSER = etree.XMLParser(resolve_entities=False, no_network=True)
# How long a worker waits for a call that takes as long as a guest has memory; then it is looked at again.
_PATIENCE_S = 4
# For how long the outcome of such a call waits for who asked: what another process asked about meanwhile, nobody fetches.
_FRESH_S = 60


class _Slow:
    """A verb that was begun and takes long."""

    def __init__(self, verb: str, future: Future) -> None:
        self.verb, self.future, self.ended_at = verb, future, 0.0
        future.add_done_callback(self._end)

    def _end(self, _future: Future) -> None:
        self.ended_at = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.ended_at < _FRESH_S


_under_way: dict[tuple[Address, UUID], _Slow] = {}
os.register_at_fork(after_in_child=_under_way.clear)  # its threads are the parent's


class Owned(Caller):
    """The base of the hypervisor's parts."""

    def __init__(self, address: Address, fence: Fence | None = None) -> None:
        super().__init__(session_for(address), fence or Unfenced())
        self._address = address
        self._is_qemu = urlsplit(address.uri).scheme.startswith("qemu")

    def _lookup(self, uuid: UUID) -> libvirt.virDomain:
        return self._call("domain.lookup", self._host().lookupByUUIDString, str(uuid))

    def _ours(self, uuid: UUID, generation: int) -> tuple[libvirt.virDomain, int]:
        """The domain and its generation, if an actor of that generation may act on it. Raises Gone when absent."""
        domain = self._lookup(uuid)
        known = self._generation(domain)
        if known is None:
            raise HostFault(reasons.NOT_OURS)
        if known > generation:
            raise StaleGeneration(reasons.SUPERSEDED, known=known, given=generation)
        return domain, known

    def _generation(self, domain: libvirt.virDomain) -> int | None:
        """That of the persistent definition (the highest, since a definition is written before every start)."""
        return self._call("domain.metadata", _read_generation, domain)

    def _described(self, domain: libvirt.virDomain) -> etree._Element:
        """What it runs as, or, when it is off, its definition."""
        return etree.fromstring(self._call("domain.describe", domain.XMLDesc), PARSER)

    def _is_under_way(self, verb: str, uuid: UUID) -> bool:
        """Whether this process has begun such a call that goes on. One that has just ended in a fault raises it, once."""
        key = (self._address, uuid)
        if key not in _under_way or not _under_way[key].future.done():
            return key in _under_way
        slow = _under_way.pop(key)
        if slow.verb == verb and slow.is_fresh:
            self._result(verb, slow.future)
        return False

    def _slowly(self, verb: str, uuid: UUID, function: Callable[[], object]) -> bool:
        """Begin a call that takes as long as the guest has memory, or wait for the one that this process began. False when it
        goes on, and when it was begun by an earlier call: the host is asked again, as whoever takes over does."""
        key = (self._address, uuid)
        is_mine = key not in _under_way
        if is_mine:
            _under_way[key] = _Slow(verb, self._call(verb, begin, function))
        future = _under_way[key].future
        if not wait([future], _PATIENCE_S).done:
            return False
        _under_way.pop(key, None)
        self._result(verb, future)
        return is_mine

    def _result(self, verb: str, future: Future) -> Any:
        try:
            return future.result()
        except libvirt.libvirtError as error:
            raise translate(error, verb, is_alive=self._session.is_alive()) from error


def _read_generation(domain: libvirt.virDomain) -> int | None:
    """One call; a second only for a domain without a persistent definition."""
    for where in (libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE):
        try:
            element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, where)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                return None
            transient = error.get_error_code() in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG)
            if where == libvirt.VIR_DOMAIN_AFFECT_CONFIG and transient:
                continue
            raise
        written = etree.fromstring(element, PARSER).get("generation", "")
        return int(written) if written.isdecimal() else None
    return None
