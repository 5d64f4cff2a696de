"""The verb table: buttons, API actions, the permission matrix and tests derive from it. A new verb is one entry here."""
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance
from compute.instances.models import InstanceState as S
from portal.kernel.errors import StateConflict


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
    operation: str
    takes_force: bool = False
    is_dangerous: bool = False
    confirm: Any = ""

    def why_not(self, instance: Instance) -> str:
        """A sentence why it is not possible now; empty when it is."""
        if instance.state in self.legal:
            return ""
        return _("Not possible while the instance is “%(state)s”.") % {"state": instance.get_state_display()}

    def require(self, instance: Instance) -> None:
        if instance.state not in self.legal:
            raise StateConflict(state=instance.state, legal=",".join(sorted(self.legal)))


VERBS = {verb.name: verb for verb in (
    Verb(name="start", label=_("Start"), icon="player-play", permission="instance.operate", legal=frozenset({S.STOPPED}),
         in_flight=S.STARTING, settled=S.RUNNING, operation="instance.start"),
    Verb(name="stop", label=_("Stop"), icon="player-stop", permission="instance.operate", legal=frozenset({S.RUNNING}),
         in_flight=S.STOPPING, settled=S.STOPPED, operation="instance.stop", takes_force=True,
         confirm=_("The guest is asked to shut down; after 30 seconds its power is cut.")),
    Verb(name="reboot", label=_("Reboot"), icon="refresh", permission="instance.operate", legal=frozenset({S.RUNNING}),
         in_flight=S.REBOOTING, settled=S.RUNNING, operation="instance.reboot", takes_force=True,
         confirm=_("The guest is shut down and started again.")),
    Verb(name="delete", label=_("Delete"), icon="trash", permission="instance.delete",
         legal=frozenset({S.RUNNING, S.STOPPED, S.ERROR}), in_flight=S.DELETING, settled=S.DELETED,
         operation="instance.delete", is_dangerous=True,
         confirm=_("The instance and its root volume are deleted for good. Billing stops at once.")),
)}
# What has an action route of its own; delete is the HTTP method.
ACTIONS = {name: verb for name, verb in VERBS.items() if name != "delete"}
