"""The verb table: buttons, API actions, the permission matrix and tests derive from it. A new verb is one entry here."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.instances import abilities, guarding
from compute.instances.errors import ClassForbids, NotSupported
from compute.instances.models import IN_BIN, ON_A_HOST, Instance
from compute.instances.models import InstanceState as S
from portal.kernel.errors import StateConflict

HELD = frozenset({S.PAUSED, S.SUSPENDED, S.RESUMING})
IN_RESCUE = frozenset({S.RESCUED, S.UNRESCUING})


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What may be done to an instance: from which states, into which, by whom, and how it looks."""

    name: str
    label: Any
    icon: str
    permission: str
    legal: frozenset[str]
    in_flight: str
    settled: str
    """Empty: the state that it was in."""

    operation: str
    takes_force: bool = False
    is_bad: bool = False
    is_dangerous: bool = False
    """There is no way back: the name is typed."""
    confirm: Any = ""
    needs: str = ""
    """What the hypervisor must be able to do (`Capabilities`)."""
    ability: str = ""
    """What its class of virtual hardware must permit (`abilities`)."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """state → the verb that it is in that state."""

    has_form: bool = False
    """It asks for more than a yes: its page (`PAGES` in `urls`) has a form of its own, and no list does it to many at once."""
    in_menu: bool = False
    """On the instance's page it is behind “More”."""
    tells: tuple[str, ...] = ()
    """Which wishes of a request the audit trail shows."""

    needs_host: bool = False
    """It is for what has a place on a host: not for a create that failed, though that is in error too."""
    passes_to: str = ""
    """A box on its confirmation of this name makes it that verb."""

    def on(self, instance: Instance) -> "Verb":
        """What it comes to for this instance."""
        return VERBS[self.instead.get(instance.state, self.name)]

    def why_not(self, instance: Instance) -> str:
        """A sentence why it is not possible now; empty when it is."""
        if instance.state not in self.legal:
            return _("Not possible while the instance is “%(state)s”.") % {"state": instance.get_state_display()}
        if self.needs_host and instance.host_id is None:
            return _("It was never made, and has no disk.")
        if self._is_lacking(instance):
            return _("The hypervisor of its host cannot do this.")
        if reason := self._forbidden(instance):
            return reason
        refusal = guarding.refusal(instance, self.name)
        return refusal.detail if refusal else ""

    def require(self, instance: Instance) -> None:
        """Raise StateConflict or NotSupported where it is not possible."""
        if instance.state not in self.legal or (self.needs_host and instance.host_id is None):
            raise StateConflict(state=instance.state, legal=",".join(sorted(self.legal)), verbs=",".join(legal_verbs(instance)))
        if self._is_lacking(instance):
            raise NotSupported(name=instance.name, verb=self.name, needs=self.needs)
        if reason := self._forbidden(instance):
            raise ClassForbids(name=instance.name, verb=self.name, reason=reason)

    def _is_lacking(self, instance: Instance) -> bool:
        """Whether its host is known not to have it; one that has not said is asked when it is done."""
        return bool(self.needs and instance.host and instance.host.endpoint.capabilities.get(self.needs) is False)

    def _forbidden(self, instance: Instance) -> str:
        return abilities.why_not(instance.type, self.ability) if self.ability else ""

    def belongs(self, instance: Instance) -> bool:
        """Whether it is worth showing: few verbs are for what is in the recycle bin, and restoring is for nothing else; what is
        paused or suspended is resumed instead of started, and what is rescued leaves rescue."""
        if instance.state in IN_BIN:
            return self.on(instance) is self and bool(self.legal & IN_BIN)
        hidden = {"restore", "start" if instance.state in HELD else "resume",
                  "rescue" if instance.state in IN_RESCUE else "unrescue"}
        return self.on(instance) is self and self.name not in hidden


VERBS = {verb.name: verb for verb in (
    Verb(name="start", label=_("Start"), icon="player-play", permission="instance.operate", legal=frozenset({S.STOPPED}),
         in_flight=S.STARTING, settled=S.RUNNING, operation="instance.start"),
    Verb(name="stop", label=_("Stop"), icon="player-stop", permission="instance.operate",
         legal=frozenset({S.RUNNING, S.PAUSED, S.SUSPENDED, S.RESCUED}), in_flight=S.STOPPING, settled=S.STOPPED,
         operation="instance.stop",
         takes_force=True, confirm=_("The guest is asked to shut down; after 30 seconds its power is cut. "
                                     "The memory of a suspended one is lost; a rescued one leaves rescue.")),
    Verb(name="reboot", label=_("Reboot"), icon="refresh", permission="instance.operate", legal=frozenset({S.RUNNING}),
         in_flight=S.REBOOTING, settled=S.RUNNING, operation="instance.reboot", takes_force=True,
         confirm=_("The guest is shut down and started again.")),
    Verb(name="pause", label=_("Pause"), icon="player-pause", permission="instance.operate", legal=frozenset({S.RUNNING}),
         in_flight=S.PAUSING, settled=S.PAUSED, operation="instance.pause", in_menu=True, needs="pauses",
         confirm=_("The guest stands still and keeps its memory, until it is resumed.")),
    Verb(name="suspend", label=_("Suspend to disk"), icon="moon", permission="instance.operate", legal=frozenset({S.RUNNING}),
         in_flight=S.SUSPENDING, settled=S.SUSPENDED, operation="instance.suspend", in_menu=True, needs="saves_memory",
         ability="suspend",
         confirm=_("What is in the guest’s memory is written to disk, and its power is cut. Resumed, it goes on where it was.")),
    Verb(name="resume", label=_("Resume"), icon="player-play", permission="instance.operate",
         legal=frozenset({S.PAUSED, S.SUSPENDED}), in_flight=S.RESUMING, settled=S.RUNNING, operation="instance.resume"),
    Verb(name="resize", label=_("Resize"), icon="maximize", permission="instance.create",
         legal=frozenset({S.RUNNING, S.STOPPED}), in_flight=S.RESIZING, settled="", operation="instance.resize", has_form=True,
         in_menu=True, tells=("type", "vcpus", "memory_mib")),
    Verb(name="rescue", label=_("Rescue"), icon="tool", permission="instance.operate",
         legal=frozenset({S.RUNNING, S.STOPPED}), in_flight=S.RESCUING, settled=S.RESCUED, operation="instance.rescue",
         has_form=True, in_menu=True, takes_force=True, tells=("image",),
         confirm=_("It is shut down and boots from another image; its own disk is the second one there.")),
    Verb(name="unrescue", label=_("Leave rescue"), icon="rotate", permission="instance.operate",
         legal=frozenset({S.RESCUED}), in_flight=S.UNRESCUING, settled=S.RUNNING, operation="instance.unrescue", in_menu=True,
         takes_force=True,
         confirm=_("The rescue system is shut down and its disk deleted; the instance boots from its own disk again.")),
    Verb(name="rebuild", label=_("Rebuild"), icon="disc", permission="instance.delete",
         legal=frozenset({S.RUNNING, S.STOPPED, S.ERROR}), in_flight=S.REBUILDING, settled=S.RUNNING,
         operation="instance.rebuild", has_form=True, in_menu=True, is_dangerous=True, needs_host=True, tells=("image",),
         confirm=_("Its power is cut, and its root volume is written anew from an image: everything on it is lost. Name, "
                   "addresses, network cards and other volumes stay.")),
    Verb(name="capture", label=_("Create image"), icon="disc", permission="image.create", legal=frozenset({S.STOPPED}),
         in_flight=S.COPYING, settled=S.STOPPED, operation="instance.capture", has_form=True, in_menu=True,
         confirm=_("Its root volume is copied into an image of the project, from which instances start. It stays off until the "
                   "copy is made. What is on the disk is in the image, passwords and keys too.")),
    Verb(name="clone", label=_("Clone"), icon="copy", permission="instance.create", legal=frozenset({S.STOPPED}),
         in_flight=S.COPYING, settled=S.STOPPED, operation="instance.clone", has_form=True, in_menu=True,
         confirm=_("A new instance of the same type, in the same networks and security groups, with a copy of the root volume "
                   "and addresses of its own, is made on the same host and started. This one stays off until the copy is made.")),
    Verb(name="snapshot", label=_("Take snapshot"), icon="camera", permission="snapshot.create",
         legal=frozenset({S.RUNNING, S.STOPPED}), in_flight=S.SNAPSHOTTING, settled="", operation="instance.snapshot",
         has_form=True, in_menu=True, needs="takes_snapshots", tells=("memory",),
         confirm=_("What is on all its volumes now is kept, and the instance can be reverted to it. Of one that runs, what the "
                   "guest has not written yet is missing, as after a power cut, unless its memory is kept too: for that it "
                   "stands still for as long as writing takes.")),
    Verb(name="revert", label=_("Revert to snapshot"), icon="history", permission="snapshot.revert",
         legal=frozenset({S.RUNNING, S.STOPPED}), in_flight=S.REVERTING, settled="", operation="instance.revert", has_form=True,
         in_menu=True, needs="takes_snapshots", tells=("memory",),
         confirm=_("All its volumes become what they were at the snapshot: what was written since is lost. What runs loses its "
                   "power for that and is started again; with memory, it runs on from where it was at the snapshot, also where "
                   "it is stopped now.")),
    Verb(name="restore", label=_("Restore"), icon="history", permission="instance.delete", legal=frozenset({S.RECYCLED}),
         in_flight=S.RESTORING, settled=S.STOPPED, operation="instance.restore"),
    Verb(name="delete", label=_("Delete"), icon="trash", permission="instance.delete", legal=ON_A_HOST | {S.RESCUED, S.ERROR},
         in_flight=S.RECYCLING, settled=S.RECYCLED, operation="instance.recycle", is_bad=True, instead={S.ERROR: "purge"},
         passes_to="purge",
         confirm=_("The power is cut, and the instance goes to the recycle bin. Until the day that is named there it can be "
                   "restored; its volumes and addresses stay with it and cost as before. What is in error is deleted for good.")),
    Verb(name="purge", label=_("Delete for good"), icon="circle-x", permission="instance.delete",
         legal=ON_A_HOST | {S.RESCUED, S.RECYCLED, S.ERROR}, in_flight=S.DELETING, settled=S.DELETED, operation="instance.delete",
         is_bad=True, is_dangerous=True, tells=("volumes",),
         confirm=_("The instance and its root volume are deleted for good, and cost nothing from then on. Other volumes are "
                   "detached; they stay and cost as before.")),
)}
# What has an action route of its own; both ways to delete are the HTTP method.
ACTIONS = {name: verb for name, verb in VERBS.items() if name not in ("delete", "purge")}


def offered(instance: Instance) -> list[Verb]:
    """What is shown of the table for this instance, possible now or not."""
    return [verb for verb in VERBS.values() if verb.belongs(instance)]


def legal_verbs(instance: Instance) -> list[str]:
    """What the table allows in its state."""
    return [verb.name for verb in VERBS.values() if instance.state in verb.legal]
