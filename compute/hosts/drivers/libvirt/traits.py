"""What the host can give a domain beside the usual, as libvirt tells it: firmware, boards, processors, memory."""
from lxml import etree

from compute.hosts.drivers.contract import Trait
from portal.kernel.errors import HostFault, HostUnreachable

from .owned import PARSER, Owned

# In the words of libvirt's `<machine>`; the board that has everything, and the older one.
_Q35, _I440FX = "q35", "pc"


class Traits(Owned):
    def _traits(self, host: etree._Element) -> frozenset[Trait]:
        """`host` are its capabilities. libvirt's test driver tells nothing of a domain's."""
        found = {Trait.HUGEPAGES} if _has_hugepages(host) else set()
        if (board := self._domain_capabilities(_Q35)) is not None:
            found |= _of_board(board)
        if self._domain_capabilities(_I440FX) is not None:
            found.add(Trait.I440FX)
        return frozenset(found)

    def _domain_capabilities(self, machine: str) -> etree._Element | None:
        """Without acceleration, which is found out elsewhere; None where there is no such board."""
        if not self._is_qemu:
            return None
        try:
            text = self._call("host.domain_capabilities", self._host().getDomainCapabilities, None, None, machine, "qemu", 0)
        except HostUnreachable:
            raise
        except HostFault:
            return None
        return etree.fromstring(text, PARSER)


def _of_board(capabilities: etree._Element) -> set[Trait]:
    found = set()
    if "efi" in _values(capabilities, "os/enum[@name='firmware']/value"):
        found.add(Trait.UEFI)
        is_secure = "yes" in _values(capabilities, "os/loader/enum[@name='secure']/value")
        if is_secure and "emulator" in _values(capabilities, "devices/tpm/enum[@name='backendModel']/value"):
            found.add(Trait.UEFI_SECURE)
    mode = capabilities.find("cpu/mode[@name='host-model']")
    if mode is not None and mode.get("supported") == "yes":
        found.add(Trait.HOST_MODEL)
    return found


def _has_hugepages(host: etree._Element) -> bool:
    """Of 2 MiB, kept free for guests."""
    pages = host.iterfind("host/topology/cells/cell/pages[@size='2048']")
    return any(int(one.text or 0) > 0 for one in pages)


def _values(capabilities: etree._Element, path: str) -> set[str | None]:
    return {one.text for one in capabilities.iterfind(path)}
