"""What people fill in to pay in advance, and operators to hold the ladder. The verbs check."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import ladder
from billing.forms import OfVerb, moment
from billing.models import Dunning
from portal.kernel.forms import VerbForm


class TopUpForm(VerbForm):
    """How much is paid."""

    amount = forms.DecimalField(label=_("Amount"), max_digits=14, decimal_places=2, widget=forms.NumberInput(attrs={
        "inputmode": "decimal", "step": "0.01", "min": "0.01"}))


class HoldForm(OfVerb):
    """An operator lets an organization climb no further for a while."""

    held_until = moment(_("Held until"), required=False, help_text=_("UTC; empty: it climbs again."))
    hold_reason = forms.CharField(label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget(),
                                  help_text=_("For colleagues, in the audit trail."))

    class Meta:
        model = Dunning
        fields = ("organization", "held_until", "hold_reason")

    def carry_out(self, values: dict[str, Any]) -> Dunning:
        return ladder.hold(values["organization"], until=values["held_until"], reason=values["hold_reason"], actor=self.actor)
