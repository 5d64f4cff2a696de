"""The operators' forms for new prices and credits. The verbs themselves check the input, so admin and code cannot differ."""
from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _

from billing.models import Credit, Price
from billing.operations import grant_credit, set_price
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput


def meter_choices() -> list[tuple[str, object]]:
    return [(name, f"{meter.label} ({name})") for name, meter in sorted(registry.meters.items())]


class OfVerb(forms.ModelForm):
    """A form whose verb writes the row while it is validated: the page's transaction ends both or neither."""

    actor = None

    def carry_out(self, values: dict[str, object]) -> models.Model:
        """Run the verb. Raises InvalidInput."""
        raise NotImplementedError

    def clean(self) -> dict[str, object]:
        cleaned = super().clean()
        if not self.errors:
            try:
                self.made = self.carry_out(cleaned)
            except InvalidInput as error:
                self._errors = forms.utils.ErrorDict()
                for name, messages in error.errors.items():
                    self.add_error(name, messages)
        return cleaned

    def _post_clean(self) -> None:
        """The row exists already; nothing is built from the form."""

    def save(self, commit: bool = True) -> models.Model:
        self.instance = self.made
        return self.made

    def save_m2m(self) -> None:
        """Nothing to add."""


class NewCreditForm(OfVerb):
    """Grants a credit."""

    class Meta:
        model = Credit
        fields = ["organization", "amount", "reason", "expires_at"]

    def carry_out(self, values: dict[str, object]) -> Credit:
        return grant_credit(**values, actor=self.actor)


class NewPriceForm(OfVerb):
    """Sets a price."""

    meter = forms.ChoiceField(label=_("Meter"), choices=meter_choices)
    valid_from = forms.SplitDateTimeField(label=_("Valid from"), required=False,
                                          help_text=_("UTC; empty: from now on. The version before ends there."))

    class Meta:
        model = Price
        fields = ["book", "region", "meter", "sku", "price_per_hour"]

    def carry_out(self, values: dict[str, object]) -> Price:
        return set_price(**values, actor=self.actor)
