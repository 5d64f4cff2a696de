"""What is asked of an instance's watchdog."""
from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.models import WatchdogAction
from compute.network.forms import VerbForm


class WatchdogForm(VerbForm):
    action = forms.ChoiceField(label=_("When the guest hangs"), choices=WatchdogAction.choices, help_text=_(
        "It holds from the next start. Paused and switched off it is billed as such."))
