"""What is asked when a link to a console is made."""
from django import forms
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm

MINUTES = [("15", _("15 minutes")), ("60", _("1 hour")), ("240", _("4 hours")), ("1440", _("1 day"))]


class LinkForm(VerbForm):
    """For how long."""

    valid_for = forms.ChoiceField(label=_("Good for"), choices=MINUTES, initial="60")

    @property
    def minutes(self) -> int:
        return int(self.cleaned_data["valid_for"])
