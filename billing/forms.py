"""The operators' form for a new price version. The verb itself checks the input, so admin and code cannot differ."""
from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import Price
from billing.operations import set_price
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput


def meter_choices() -> list[tuple[str, object]]:
    return [(name, f"{meter.label} ({name})") for name, meter in sorted(registry.meters.items())]


class NewPriceForm(forms.ModelForm):
    """Sets the price while it is validated: the page's transaction ends both or neither."""

    actor = None
    meter = forms.ChoiceField(label=_("Meter"), choices=meter_choices)
    valid_from = forms.SplitDateTimeField(label=_("Valid from"), required=False,
                                          help_text=_("UTC; empty: from now on. The version before ends there."))

    class Meta:
        model = Price
        fields = ["book", "region", "meter", "sku", "price_per_hour"]

    def clean(self) -> dict[str, object]:
        cleaned = super().clean()
        if not self.errors:
            try:
                self.made = set_price(**cleaned, actor=self.actor)
            except InvalidInput as error:
                self._errors = forms.utils.ErrorDict()
                for name, messages in error.errors.items():
                    self.add_error(name, messages)
        return cleaned

    def _post_clean(self) -> None:
        """The row exists already; nothing is built from the form."""

    def save(self, commit: bool = True) -> Price:
        self.instance = self.made
        return self.made

    def save_m2m(self) -> None:
        """Nothing to add."""
