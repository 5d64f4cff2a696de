"""The operators' forms for new prices, terms, outages and credits. The verbs themselves check the input, so admin and code
cannot differ.
"""
from collections.abc import Callable

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
)

from billing.models import Credit, Outage, Price, Terms
from billing.operations import grant_credit, record_outage, set_price, set_terms
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput


def meter_choices() -> list[tuple[str, object]]:
    return [(name, f"{meter.label} ({name})") for name, meter in sorted(registry.meters.items())]


def moment(label: object, **more: object) -> forms.SplitDateTimeField:
    return forms.SplitDateTimeField(label=label, widget=UnfoldAdminSplitDateTimeWidget(), **more)


def choice(label: object, choices: Callable | list, *, field: type[forms.Field] = forms.TypedChoiceField,
           widget: type[forms.Widget] = UnfoldAdminSelectWidget, **more: object) -> forms.Field:
    return field(label=label, choices=choices, widget=widget, **more)


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


def meters_field() -> forms.Field:
    """For which usage credit is."""
    return choice(_("Meters"), meter_choices, field=forms.MultipleChoiceField, widget=UnfoldAdminSelectMultipleWidget,
                  required=False, help_text=_("What it pays for; none: everything."))


class NewCreditForm(OfVerb):
    """Grants a credit."""

    meters = meters_field()

    class Meta:
        model = Credit
        fields = ["organization", "amount", "reason", "expires_at", "meters", "region"]

    def carry_out(self, values: dict[str, object]) -> Credit:
        return grant_credit(**values, actor=self.actor)


class NewPriceForm(OfVerb):
    """Sets a price."""

    meter = choice(_("Meter"), meter_choices)
    granularity_s = choice(_("Billed"), [(1, _("as metered")), (60, _("by the minute that has begun")),
                                         (3600, _("by the hour that has begun"))], coerce=int, initial=1)
    tiers = forms.CharField(label=_("Tiers"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text=_(
        "One a line: from how many unit-hours a month on, and the price an hour there, such as “100 0.5”. With a price of 0 "
        "above, what comes before the first tier is free."))
    valid_from = moment(_("Valid from"), required=False, help_text=_("UTC; empty: from now on. The version before ends there."))

    class Meta:
        model = Price
        fields = ["book", "region", "meter", "sku", "price_per_hour", "granularity_s", "minimum_s"]

    def clean_tiers(self) -> list[list[str]]:
        """What stands in each line; the verb says what is wrong with it."""
        rows = [line.split() for line in self.cleaned_data["tiers"].splitlines() if line.strip()]
        if any(len(row) != 2 for row in rows):
            raise forms.ValidationError(_("Two numbers a line."))
        return rows

    def carry_out(self, values: dict[str, object]) -> Price:
        return set_price(**values, actor=self.actor)


class NewTermsForm(OfVerb):
    """Agrees on a book or a discount."""

    valid_from = moment(_("Valid from"), required=False, help_text=_("UTC; empty: from now on. The version before ends there."))

    class Meta:
        model = Terms
        fields = ["organization", "book", "discount_percent"]

    def carry_out(self, values: dict[str, object]) -> Terms:
        return set_terms(**values, actor=self.actor)


class NewOutageForm(OfVerb):
    """Frees a resource of what it used while the platform failed."""

    start, end = moment(_("Start"), help_text="UTC"), moment(_("End"), help_text="UTC")
    meters = choice(_("Meters"), meter_choices, field=forms.MultipleChoiceField, widget=UnfoldAdminSelectMultipleWidget,
                    required=False, help_text=_("Which are free then; none: all."))

    class Meta:
        model = Outage
        fields = ["resource", "start", "end", "meters", "reason"]

    def carry_out(self, values: dict[str, object]) -> Outage:
        return record_outage(**values, actor=self.actor)
