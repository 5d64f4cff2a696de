"""What is asked before the disk of an instance is copied: the name of what comes of it. Rules are in the verbs."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.copying import clone_name
from compute.instances.models import Instance, Snapshot
from compute.network.forms import VerbForm
from portal.kernel.fields import NameField
from portal.kernel.names import LONGEST

IMAGE_ENDING = "-image"


class CaptureForm(VerbForm):
    """How the image is called, and what it is."""

    name = NameField(label=_("Name of the image"))
    description = forms.CharField(label=_("Description"), required=False, max_length=500,
                                  widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, instance: Instance, snapshot: Snapshot | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.snapshot = snapshot
        self.initial.setdefault("name", instance.name[:LONGEST - len(IMAGE_ENDING)] + IMAGE_ENDING)

    def wishes(self) -> dict[str, Any]:
        return self.cleaned_data | {"snapshot": self.snapshot}


class CloneForm(VerbForm):
    """How the new instance is called."""

    name = NameField(label=_("Name of the new instance"))

    def __init__(self, *args: Any, instance: Instance, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("name", clone_name(instance, LONGEST))

    def wishes(self) -> dict[str, Any]:
        return self.cleaned_data
