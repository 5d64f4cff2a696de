"""What is asked when an instance is locked."""
from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.guarding import LONGEST_REASON
from compute.network.forms import VerbForm


class LockForm(VerbForm):
    reason = forms.CharField(label=_("Why"), required=False, max_length=LONGEST_REASON, help_text=_(
        "Everybody who is refused reads it."))
