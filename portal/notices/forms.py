"""The form of somebody's notifications: for each kind whether the bell rings, and when a mail comes."""
from collections.abc import Iterator
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.timezones import time_zones
from portal.notices.models import How, Preferences
from portal.notices.preferences import Choice, choices


class PreferencesForm(VerbForm):
    """Kinds that cannot be switched off have no fields."""

    time_zone = forms.ChoiceField(label=_("Time zone"), required=False,
                                  help_text=_("The mail of the day comes at eight in the morning."))

    def __init__(self, *args: Any, preferences: Preferences, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = choices(preferences)
        self.fields["time_zone"].choices = [("", "UTC"), *((name, name) for name in sorted(time_zones()))]
        self.fields["time_zone"].initial = preferences.time_zone
        for choice in self.offered:
            if choice.rings is not None:
                self.fields[f"bell:{choice.kind.name}"] = forms.BooleanField(
                    label=_("Bell"), required=False, initial=choice.rings)
            if not choice.kind.is_fixed:
                self.fields[f"mail:{choice.kind.name}"] = forms.ChoiceField(
                    label=_("E-mail"), choices=How.choices, initial=choice.mail)

    @property
    def rows(self) -> Iterator[tuple[Choice, BoundField | None, BoundField | None]]:
        """Each kind with its fields."""
        for choice in self.offered:
            yield choice, self._bound(f"bell:{choice.kind.name}"), self._bound(f"mail:{choice.kind.name}")

    @property
    def chosen(self) -> dict[str, Any]:
        """As the verb takes it."""
        return {"mails": self._all("mail:"), "bell": self._all("bell:"), "time_zone": self.cleaned_data["time_zone"]}

    def _bound(self, name: str) -> BoundField | None:
        return self[name] if name in self.fields else None

    def _all(self, prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): value for name, value in self.cleaned_data.items() if name.startswith(prefix)}
