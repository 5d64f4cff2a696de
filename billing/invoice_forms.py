"""What people fill in about bills: tenants their profile, operators payments and credit notes.

The verbs check; what they refuse is said beside its field.
"""
from itertools import pairwise
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing import closing, payments
from billing.forms import OfVerb
from billing.models import BillingProfile, Charge, Invoice, Issuer, Payment
from billing.profiles import FIELDS, TERMS, set_profile
from portal.kernel.errors import InvalidInput
from portal.kernel.forms import VerbForm
from portal.kernel.timezones import time_zones

MANUAL = "manual"
"""The provider of payments that an operator saw in the bank."""


class ProfileForm(VerbForm):
    """What an organization says of itself for its bills."""

    name = forms.CharField(label=_("Name on the invoice"), max_length=200, required=False,
                           help_text=_("Empty: the organization's name."))
    address = forms.CharField(label=_("Address"), max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 4}))
    country = forms.CharField(label=_("Country"), max_length=2, required=False, widget=forms.TextInput(attrs={
        "autocapitalize": "characters", "placeholder": "CN"}), help_text=_(
            "Two capital letters, as in ISO 3166. It says which tax is added. Empty: the issuer's country."))
    tax_id = forms.CharField(label=_("Tax id"), max_length=50, required=False)
    email = forms.CharField(label=_("E-mail on the invoice"), max_length=254, required=False, widget=forms.EmailInput())
    sends_mail = forms.BooleanField(label=_("Mail invoices and credit notes to it, as PDF"), required=False)
    language = forms.ChoiceField(label=_("Language of invoices"), choices=BillingProfile.Language.choices)


class BillingProfileForm(OfVerb):
    """The same by operators, with what they alone say. Only what was changed here is written."""

    class Meta:
        model = BillingProfile
        fields = ["organization", *FIELDS, *TERMS]

    def carry_out(self, values: dict[str, Any]) -> BillingProfile:
        organization = values.get("organization") or self.instance.organization
        if self.instance._state.adding and BillingProfile.objects.filter(pk=organization.pk).exists():
            raise InvalidInput.field("organization", _("It has one already: change that."))
        if organization.deleted_at is not None:
            raise InvalidInput.field("organization", _("This organization is deleted."))
        return set_profile(organization, actor=self.actor, **{
            name: values[name] for name in self.changed_data if name != "organization"})


def initial(profile: BillingProfile) -> dict[str, Any]:
    return {name: getattr(profile, name) for name in ProfileForm.base_fields}


class NewPaymentForm(OfVerb):
    """Money that an operator saw in the bank."""

    received_at = forms.SplitDateTimeField(label=_("Received"), required=False, help_text=_("UTC; empty: now."))
    is_refund = forms.BooleanField(label=_("Paid back"), required=False, widget=UnfoldBooleanSwitchWidget, help_text=_(
        "Money that went back to the customer, out of what is paid in advance."))

    class Meta:
        model = Payment
        fields = ["organization", "amount", "currency", "reference"]

    def carry_out(self, values: dict[str, Any]) -> Payment:
        verb = payments.refund if values.pop("is_refund") else payments.record
        return verb(**values, provider=MANUAL, actor=self.actor)


class NewAdjustmentForm(OfVerb):
    """So much more, or less, on the next invoice."""

    amount = forms.DecimalField(label=_("Amount"), max_digits=20, decimal_places=2, widget=UnfoldAdminDecimalFieldWidget(),
                                help_text=_("Before tax; below zero: the customer pays so much less."))

    class Meta:
        model = Charge
        fields = ["organization", "amount", "text", "project"]

    def carry_out(self, values: dict[str, Any]) -> Charge:
        return closing.adjust(**values, actor=self.actor)


class NewCreditNoteForm(OfVerb):
    """So much of an invoice is taken back."""

    subtotal = forms.DecimalField(label=_("Amount"), max_digits=20, decimal_places=2, widget=UnfoldAdminDecimalFieldWidget(),
                                  help_text=_("Before tax. The tax on it is taken back too."))
    reason = forms.CharField(label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget(),
                             help_text=_("The customer reads it."))

    class Meta:
        model = Invoice
        fields = ["corrects", "subtotal", "reason"]
        labels = {"corrects": _("Invoice")}

    def carry_out(self, values: dict[str, Any]) -> Invoice:
        called = {"amount": "subtotal", "invoice": "corrects"}
        try:
            return payments.credit_note(values["corrects"], amount=values["subtotal"], reason=values["reason"], actor=self.actor)
        except InvalidInput as error:
            raise InvalidInput(errors={called.get(name, name): texts for name, texts in error.errors.items()}) from error


RUNGS = ("reminder_days", "block_days", "stop_days", "recycle_days")


class IssuerForm(forms.ModelForm):
    """Who bills; months are cut by the time zone, so it must be one."""

    class Meta:
        model = Issuer
        fields = ["name", "address", "country", "tax_id", "email", "bank", "time_zone", "prefix", "due_days", *RUNGS]

    def clean_time_zone(self) -> str:
        name = self.cleaned_data["time_zone"]
        if name not in time_zones():
            raise forms.ValidationError(_("A name like Asia/Shanghai."))
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for lower, higher in pairwise(RUNGS):
            if lower in cleaned and higher in cleaned and cleaned[lower] >= cleaned[higher]:
                self.add_error(higher, _("Each of these days is later than the one before."))
        return cleaned
