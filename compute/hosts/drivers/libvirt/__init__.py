"""The libvirt driver: QEMU with KVM or TCG, and libvirt's own test driver. Nobody else but `storage.pools.libvirt`
may import libvirt.

`loop` runs libvirt's events, `reach` makes an address connectable, `session` keeps connections, `faults` translates
errors, `hypervisor` keeps the contract, `probe` boots the guest that proves KVM, `watch` follows a host's events.
"""
from .hypervisor import LibvirtHypervisor
from .watch import watch

__all__ = ["LibvirtHypervisor", "watch"]
