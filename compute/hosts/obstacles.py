"""Why a host cannot be made ready, or is not all that it could be: each a code, its facts, and what its operator does.

Rows of these are stored (`Host.fault`, `Host.advice`); their sentences are made when somebody reads them. Operators
read them and nobody else, so facts may name addresses, paths and other hosts. Nothing is decided here.
"""
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError, classes_by_code


class Obstacle(PortalError):
    """Trying again changes nothing; somebody has to do what the sentence says."""

    status = 502
    title = _("The host is not ready")


# -- what keeps it from being ready --

class HostSilent(Obstacle):
    code = "host_silent"
    text = _("No SSH server answers at {address}: {reason}. Check the address, that the host is on, that sshd runs "
             "and that no firewall is between.")


class HostKeyDiffers(Obstacle):
    code = "host_key_differs"
    text = _("Unknown host key: {address} shows {shown}, known is {known}. If the host was set up anew, empty the host key "
             "of its endpoint and prepare it again; if it was not, somebody else answers at this address.")


class LoginRefused(Obstacle):
    code = "host_login_refused"
    text = _("Login refused: put this line into .ssh/authorized_keys of {user} on {address}: {public_key}")


class NotRoot(Obstacle):
    code = "host_not_root"
    text = _("{user} is not root on the host: give the address as root@{address}.")


class ProgramMissing(Obstacle):
    code = "host_program_missing"
    text = _("{program} is not installed on the host: apt-get install {packages}")


class ProgramTooOld(Obstacle):
    code = "host_program_too_old"
    text = _("{program} {found} is too old, {wanted} or newer is needed: upgrade the host's system.")


class LibvirtSilent(Obstacle):
    code = "host_libvirt_silent"
    text = _("Login works, but libvirtd does not answer ({reason}): systemctl enable --now libvirtd")


class AddedTwice(Obstacle):
    code = "host_added_twice"
    text = _("This machine is the host {other} already. If it is another machine, give it a host_uuid of its own in "
             "/etc/libvirt/libvirtd.conf and restart libvirtd.")


class PoolUnusable(Obstacle):
    code = "host_pool_unusable"
    text = _("The pool directory {path} cannot be used: {reason}. It must be a directory, or one that can be made, on a file "
             "system with free space (df -h {path}).")


class ImagesMissing(Obstacle):
    code = "host_images_missing"
    text = _("Images cannot be copied into {path}: {reason}. Is there free space (df -h {path})?")


class SwitchSilent(Obstacle):
    code = "host_switch_silent"
    text = _("Open vSwitch does not answer ({reason}): systemctl enable --now openvswitch-switch")


class NetworkMissing(Obstacle):
    code = "host_network_missing"
    text = _("The region has networks, but the host has no OVN: apt-get install openvswitch-switch ovn-host, then set it "
             "up as the README says under “Add a real host”.")


class NetworkNotSetUp(Obstacle):
    code = "host_network_not_set_up"
    text = _("OVN is not set up on the host, {missing} is missing: ovs-vsctl set Open_vSwitch . external_ids:{missing}=…")


class NetworkDown(Obstacle):
    code = "host_network_down"
    text = _("ovn-controller is not connected to {remote} ({reason}): systemctl enable --now ovn-host; check that this "
             "address answers, and the certificates (journalctl -u ovn-controller).")


class ChassisTwice(Obstacle):
    code = "host_chassis_twice"
    text = _("The host {other} has the chassis name {chassis} too: give each host a system-id of its own (ovs-vsctl set "
             "Open_vSwitch . external_ids:system-id=…), then systemctl restart ovn-host.")


class TooSmall(Obstacle):
    code = "host_too_small"
    text = _("Nothing is left for instances: the host has {memory_mib} MiB of memory, {reserved_mib} MiB are kept for itself.")


# -- what is worth knowing of a host that is ready --

class WithoutKvm(Obstacle):
    code = "host_without_kvm"
    text = _("KVM does not work here, so guests are emulated and many times slower: switch virtualization on in the firmware.")


class ProgramUntested(Obstacle):
    code = "host_program_untested"
    text = _("{program} {found} is older than {wanted}, the oldest that is tested.")


class WithoutNetwork(Obstacle):
    code = "host_without_network"
    text = _("There is no OVN on this host: it takes no instances that have networks.")


class WithoutPublicNetwork(Obstacle):
    code = "host_without_public_network"
    text = _("No bridge carries the public network, so floating IPs of its instances do not answer: ovs-vsctl set "
             "Open_vSwitch . external_ids:ovn-bridge-mappings={network}:BRIDGE")


def in_words(row: Mapping[str, Any] | None) -> str:
    """A stored row in the reader's language; empty for none."""
    if not row:
        return ""
    declared = classes_by_code().get(str(row.get("code")))
    if declared is None:
        return gettext("An unexpected fault; see the portal's log.")
    # Drivers' reasons are translated sentences themselves.
    facts = {name: gettext(value) if isinstance(value, str) and value else value
             for name, value in row.get("facts", {}).items()}
    try:
        return str(declared.text).format(**facts)
    except (KeyError, IndexError, ValueError):
        return str(row.get("detail") or declared.title)
