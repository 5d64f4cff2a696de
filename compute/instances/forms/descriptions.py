"""What a person calls a thing: one form for every kind of resource."""
from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.errors import Stale
from portal.kernel.fields import NameField, TagsField
from portal.kernel.models import Resource


class DescriptionForm(VerbForm):
    """Name, description and tags of a resource, as they were when the form was opened (`version`)."""

    FIELDS = ("name", "description", "tags")
    name = NameField()
    description = forms.CharField(label=_("Description"), required=False, max_length=500,
                                  widget=forms.Textarea(attrs={"rows": 2}))
    tags = TagsField()
    version = forms.IntegerField(widget=forms.HiddenInput())

    def __init__(self, data: Any = None, *, row: Resource) -> None:
        super().__init__(data, initial={name: getattr(row, name) for name in (*self.FIELDS, "version")})

    @property
    def changes(self) -> dict[str, object]:
        """What differs from the row; the rest is left as it is."""
        return {name: self.cleaned_data[name] for name in self.FIELDS if name in self.changed_data}

    @property
    def is_stale(self) -> bool:
        return isinstance(self.refused, Stale)

    @property
    def stale(self) -> set[str]:
        """Fields in which what was typed is not what holds."""
        return set(self.changed_data)

    def carried_out(self, verb: Callable[[], object]) -> bool:
        """As everywhere; a stale form knows the newer version from now on, so that saving again is meant."""
        done = super().carried_out(verb)
        if self.is_stale:
            self.data = self.data.copy()
            self.data["version"] = str(self.initial["version"])
        return done
