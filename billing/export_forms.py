"""What people fill in about exports. Shapes are checked here; rules live in the verbs."""
from collections.abc import Callable
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.exports import folders
from billing.models import ExportSchedule
from billing.models.exports import Format, What
from billing.periods import Month
from portal.kernel.errors import PortalError
from portal.kernel.fields import NameField
from portal.kernel.forms import VerbForm
from tenants.models import Organization, Project
from tenants.webhooks.addresses import LONGEST

MONTH = {"type": "month", "min": "2000-01", "max": "2999-12", "pattern": "[0-9]{4}-[0-9]{2}", "placeholder": "2026-11",
         "autocomplete": "off", "spellcheck": "false"}
"""Browsers that have no field for months show one of text, where the example and the pattern say what to write."""


class MonthField(forms.CharField):
    """A month such as 2026-11; what is none is said, with an example."""

    widget = forms.TextInput(attrs=MONTH)

    def to_python(self, value: Any) -> str:
        text = super().to_python(value)
        try:
            return str(Month.named(text)) if text else ""
        except ValueError as error:
            raise forms.ValidationError(_("A month like 2026-11.")) from error


class OfOrganizationForm(VerbForm):
    """About one of the organizations in which the user holds the permission as a whole."""

    permission = "invoice.view"
    conflict: PortalError | None = None
    organization = forms.ModelChoiceField(Organization.objects.none(), label=_("Organization"), empty_label=None)

    def __init__(self, *args: Any, user: Any, project: Project | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Organization.objects.visible_to(user).order_by("name", "pk")
        if not user.grants.sees_everything:
            rows = rows.filter(pk__in=[pk for pk, names in user.grants.organization_wide.items() if self.permission in names])
        self.fields["organization"].queryset = rows
        if project is not None:
            self.initial = {"organization": project.organization_id} | self.initial

    def carried_out(self, verb: Callable[[], object]) -> bool:
        """As everywhere; that there are too many is said above the form."""
        try:
            return super().carried_out(verb)
        except PortalError as error:
            if error.status not in (409, 429):
                raise
            self.add_error(None, error.detail)
            return False


class ExportForm(OfOrganizationForm):
    """A file of some months."""

    what = forms.ChoiceField(label=_("What"), choices=What.choices)
    format = forms.ChoiceField(label=_("Format"), choices=Format.choices)
    first_month = MonthField(label=_("From month"))
    last_month = MonthField(label=_("To month"), required=False, help_text=_("Empty: only this one month. At most 24."))
    columns = forms.CharField(label=_("Columns"), max_length=3000, required=False, widget=forms.Textarea(attrs={
        "rows": 3, "spellcheck": "false"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["columns"].help_text = format_html(
            '{} <a href="{}#export-columns" target="_blank" rel="noopener">{}</a>',
            gettext("Names with spaces between them; empty: all."), reverse("docs:page", args=["tenant", "billing"]),
            gettext("The guide lists them."))

    def clean_columns(self) -> list[str]:
        return self.cleaned_data["columns"].replace(",", " ").split()


class ScheduleForm(OfOrganizationForm):
    """A file that is made by itself."""

    permission = "billing.manage"
    name = NameField(help_text=_("What receives it, for example “warehouse”."))
    what = forms.ChoiceField(label=_("What"), choices=What.choices)
    format = forms.ChoiceField(label=_("Format"), choices=Format.choices)
    every = forms.ChoiceField(label=_("Every"), choices=ExportSchedule.Every.choices, initial=ExportSchedule.Every.MONTH,
                              help_text=_("Daily and weekly files have the month so far."))
    url = forms.CharField(label=_("Address"), max_length=LONGEST, required=False, widget=forms.TextInput(attrs={
        "inputmode": "url", "spellcheck": "false", "autocomplete": "off", "placeholder": "https://bills.example.org/mains"}))
    method = forms.ChoiceField(label=_("Method"), choices=ExportSchedule.Method.choices)
    folder = forms.CharField(label=_("Folder"), max_length=60, required=False, help_text=_(
        "Instead of an address: a folder of this site's, below that of your organization."))
    field_order = ("organization", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not folders.are_offered():
            del self.fields["folder"]
