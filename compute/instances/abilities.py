"""The truth table: what a class of virtual hardware permits, and why not. Refusals, pages and the API all read it here.

A class permits, and its host's hypervisor has to be able to do it besides (`Capabilities`).
"""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.instances.models import InstanceType

ABILITIES: dict[str, Any] = {
    "hot_add_vcpus": _("More vCPUs while it runs"),
    "hot_add_memory": _("More memory while it runs"),
    "hot_add_devices": _("Volumes and cards while it runs"),
    "suspend": _("Suspend to disk"),
    "snapshot": _("Snapshot of its disks"),
    "snapshot_memory": _("Snapshot with its memory"),
    "live_migration": _("Live migration"),
    "restart_elsewhere": _("Restart on another host"),
    "balancing": _("Moved to balance hosts"),
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a mark of a class rules out."""

    mark: str
    abilities: tuple[str, ...]
    reason: Any


@dataclass(frozen=True, kw_only=True)
class Note(Bar):
    """What a mark of a class asks besides; it stays possible."""


_MOVING = ("live_migration", "balancing")
BARS = (
    Bar(mark="emulated", abilities=("hot_add_devices",), reason=_(
        "Emulated disks cannot be plugged in while it runs.")),
    Bar(mark="numa", abilities=("hot_add_vcpus", "hot_add_memory"), reason=_(
        "Its NUMA nodes would not be alike any more.")),
    Bar(mark="uefi", abilities=("snapshot_memory",), reason=_(
        "The variables of its firmware are in no snapshot.")),
    Bar(mark="uefi-secure", abilities=("snapshot_memory",), reason=_(
        "The variables of its firmware and the secrets of its TPM are in no snapshot.")),
    Bar(mark="uefi-secure", abilities=("restart_elsewhere",), reason=_(
        "The secrets of its TPM are on its host alone.")),
)
NOTES = (
    Note(mark="host", abilities=_MOVING, reason=_("Only between hosts with the same processors.")),
    Note(mark="host-model", abilities=_MOVING, reason=_("Only to hosts whose processors can do as much.")),
    Note(mark="uefi", abilities=("restart_elsewhere",), reason=_("The variables of its firmware begin anew there.")),
    Note(mark="hugepages", abilities=("hot_add_memory", *_MOVING, "restart_elsewhere"), reason=_(
        "Only where huge pages are free.")),
    Note(mark="multiqueue", abilities=("hot_add_vcpus",), reason=_("It has more queues from its next start on.")),
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One ability of a class. `reason` says why not, or what it asks besides."""

    name: str
    label: Any
    is_possible: bool
    reason: str


def table(type: InstanceType) -> list[Told]:
    """Every ability, for the class of this type."""
    return [_told(name, type.marks) for name in ABILITIES]


def why_not(type: InstanceType, ability: str) -> str:
    """A sentence; empty where its class permits it."""
    told = _told(ability, type.marks)
    return "" if told.is_possible else told.reason


def _told(name: str, marks: frozenset[str]) -> Told:
    against = _reasons(BARS, name, marks)
    return Told(name=name, label=ABILITIES[name], is_possible=not against,
                reason=" ".join(against or _reasons(NOTES, name, marks)))


def _reasons(rows: Iterable[Bar], name: str, marks: frozenset[str]) -> list[str]:
    return [str(row.reason) for row in rows if row.mark in marks and name in row.abilities]
