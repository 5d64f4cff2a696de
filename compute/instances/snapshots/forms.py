"""What is asked before a snapshot is taken, and before an instance goes back to one. Rules are in the verbs."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances import abilities
from compute.instances.forms.orders import RowField
from compute.instances.models import Instance, InstanceState, Snapshot
from compute.network.forms import VerbForm
from portal.kernel.fields import NameField


class TakeForm(VerbForm):
    """How it is called, and whether memory is in it."""

    name = NameField(label=_("Name of the snapshot"))
    description = forms.CharField(label=_("Description"), required=False, max_length=500,
                                  widget=forms.Textarea(attrs={"rows": 2}))
    memory = forms.BooleanField(label=_("Keep its memory too"), required=False, help_text=_(
        "It stands still for as long as writing that takes, and can go on from there later."))

    def __init__(self, *args: Any, instance: Instance, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if instance.state != InstanceState.RUNNING or abilities.why_not(instance.type, "snapshot_memory"):
            del self.fields["memory"]

    def wishes(self) -> dict[str, Any]:
        return dict(self.cleaned_data)


class RevertForm(VerbForm):
    """Which one, and whether its memory is loaded."""

    snapshot = RowField(label=_("Snapshot"))
    memory = forms.BooleanField(required=False, initial=True, label=_(
        "With its memory, where it has it: go on from where it was"))

    def __init__(self, *args: Any, snapshots: list[Snapshot], chosen: Snapshot | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["snapshot"].offer(snapshots)
        self.initial.setdefault("snapshot", chosen)
        if not any(one.has_memory for one in snapshots):
            del self.fields["memory"]

    def wishes(self) -> dict[str, Any]:
        snapshot = self.cleaned_data["snapshot"]
        return {"snapshot": snapshot, "memory": snapshot.has_memory and bool(self.cleaned_data.get("memory"))}
