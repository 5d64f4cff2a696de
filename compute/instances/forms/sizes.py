"""Another size for an instance."""
from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.forms.orders import RowField
from compute.instances.models import InstanceType
from compute.network.forms import VerbForm


class ResizeForm(VerbForm):
    """Fields are called as in the API's body. What is stopped is not asked whether it may be restarted."""

    BLAMED = {**VerbForm.BLAMED, "needs_restart": "allow_restart"}

    type = RowField(label=_("Size"))
    vcpus = forms.IntegerField(label=_("vCPUs"), required=False, min_value=1, max_value=4096, help_text=_(
        "Of a custom size; empty: what it has, or the least of another one."))
    memory_mib = forms.IntegerField(label=_("Memory (MiB)"), required=False, min_value=1, max_value=64 * 1024**2, help_text=_(
        "Of a custom size; empty: what it has, or the least of another one."))
    allow_restart = forms.BooleanField(label=_("Restart it where the size needs that"), required=False, help_text=_(
        "The guest is asked to shut down, and after 30 seconds its power is cut; then it starts with the new size."))

    def __init__(self, *args: Any, types: Iterable[InstanceType], is_running: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["type"].offer(types)
        if not any(one.is_custom for one in self.fields["type"].rows.values()):
            del self.fields["vcpus"], self.fields["memory_mib"]
        if not is_running:
            del self.fields["allow_restart"]

    @property
    def wishes(self) -> dict[str, Any]:
        """What the verb is asked; numbers are for a custom size alone."""
        chosen, size = dict(self.cleaned_data), ("vcpus", "memory_mib")
        return chosen if chosen["type"].is_custom else {name: value for name, value in chosen.items() if name not in size}
