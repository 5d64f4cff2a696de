"""What people fill in about budgets and vouchers. Shapes are checked here; rules live in the verbs.

Thresholds are rows of a table: a row without a percent is none.
"""
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from billing.budgets.verbs import MOST_PERCENT, USUAL
from billing.forms import OfVerb, meters_field
from billing.models import Budget, PriceBook, Voucher
from billing.models.ledger import billed_to
from billing.vouchers import create_voucher
from portal.kernel.fields import NameField
from portal.kernel.forms import VerbForm
from tenants.models import Organization, Project

MANAGE, ROWS = "budget.manage", 5
ACTION_LABELS = {Budget.Action.NOTIFY: _("Tell"), Budget.Action.BLOCK: _("Refuse new"), Budget.Action.STOP: _("Stop what runs")}


@dataclass(frozen=True, kw_only=True)
class ThresholdRow:
    """The fields of one threshold, as they are drawn."""

    percent: forms.BoundField
    basis: forms.BoundField
    actions: list[forms.BoundField]


class ChangeBudgetForm(VerbForm):
    """What can be changed later too. `no_stop`: why the user may not have things stopped here; what stops already may be kept as
    it is, or given up."""

    CALLED = {"project": "where", "organization": "where", "tag": "tag_key"}
    name = NameField(label=_("Name"))
    amount = forms.DecimalField(label=_("Amount a month"), min_value=Decimal("0.01"), max_digits=14, decimal_places=2,
                                help_text=_("Before tax and before credit, as lines of invoices are."))
    currency = forms.ChoiceField(label=_("Currency"))

    def __init__(self, *args: Any, thresholds: list[dict[str, Any]] | None = None, no_stop: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.no_stop = no_stop
        known = PriceBook.objects.order_by("-is_default", "currency").values_list("currency", flat=True)
        self.fields["currency"].choices = [(one, one) for one in dict.fromkeys(known)]
        found = USUAL if thresholds is None else thresholds
        for number in range(max(ROWS, len(found))):
            one = found[number] if number < len(found) else {"percent": None, "basis": "actual", "actions": ["notify"]}
            self._add_row(number, one)

    def _add_row(self, number: int, one: dict[str, Any]) -> None:
        self.fields[f"percent_{number}"] = forms.IntegerField(
            label=_("Percent"), required=False, min_value=1, max_value=MOST_PERCENT, initial=one["percent"],
            widget=forms.NumberInput({"aria-label": _("Percent")}))
        self.fields[f"basis_{number}"] = forms.ChoiceField(
            label=_("of what is"), required=False, choices=Budget.Basis.choices, initial=one["basis"],
            widget=forms.Select({"aria-label": _("of what is")}))
        for action, label in ACTION_LABELS.items():
            is_asked = action in one["actions"]
            self.fields[f"{action}_{number}"] = forms.BooleanField(
                label=label, required=False, initial=is_asked,
                disabled=bool(self.no_stop) and action == Budget.Action.STOP and not is_asked)

    @property
    def numbers(self) -> list[int]:
        return [number for number in range(ROWS * 2) if f"percent_{number}" in self.fields]

    @property
    def rows(self) -> list[ThresholdRow]:
        return [ThresholdRow(percent=self[f"percent_{number}"], basis=self[f"basis_{number}"],
                             actions=[self[f"{action}_{number}"] for action in ACTION_LABELS]) for number in self.numbers]

    @property
    def plain(self) -> list[forms.BoundField]:
        """The fields beside the thresholds."""
        return [field for field in self if not field.name[-1].isdigit()]

    def clean(self) -> dict[str, Any]:
        """The rows become thresholds."""
        cleaned = super().clean()
        rows = [(number, cleaned.get(f"percent_{number}")) for number in self.numbers]
        thresholds = [{"percent": percent, "basis": cleaned.get(f"basis_{number}") or Budget.Basis.ACTUAL,
                       "actions": [action for action in Budget.Action.values if cleaned.get(f"{action}_{number}")]}
                      for number, percent in rows if percent is not None]
        kept = {name: value for name, value in cleaned.items() if not name[-1].isdigit()}
        return kept | {"thresholds": thresholds}


class BudgetForm(ChangeBudgetForm):
    """A new one, of an organization or project in which the user may make it."""

    where = forms.UUIDField(label=_("Whose spending"), widget=forms.Select, help_text=_(
        "A project counts with all that stands below it."))
    tag_key = forms.CharField(label=_("Only with the tag"), max_length=60, required=False, help_text=_(
        "Within an organization; empty: all that it uses."))
    tag_value = forms.CharField(label=_("Value of the tag"), max_length=200, required=False)
    field_order = ("where", "tag_key", "tag_value", "name", "amount", "currency")

    def __init__(self, *args: Any, user: Any, project: Project | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["where"].widget.choices = places = _places(user, project)
        if project is None and user.grants.sees_everything:
            self.fields["where"].help_text = _("Choose a project above first to make one for it or for one beside it.")
        known = [value for value, _label in places]
        looked_at = str(project.pk) if project is not None else ""
        self.initial = {"where": looked_at if looked_at in known else next(iter(known), "")} | self.initial

    def clean_where(self) -> Organization | Project:
        """Any place that the user sees: whether they may there is asked by who carries it out."""
        pk = self.cleaned_data["where"]
        project = Project.objects.visible_to(self.user).select_related("organization").filter(pk=pk).first()
        place = project or Organization.objects.visible_to(self.user).filter(pk=pk).first()
        if place is None:
            raise forms.ValidationError(_("There is no such organization or project, or you may not see it."))
        return place


def _places(user: Any, project: Project | None) -> list[tuple[str, str]]:
    """The organizations and projects in which the user may make one, as plain values. Whoever sees everything chooses among
    organizations, or within the one of the project that is looked at: a list of all projects would be one of thousands."""
    organizations, projects = Organization.objects.visible_to(user), Project.objects.visible_to(user, MANAGE)
    if not user.grants.sees_everything:
        organizations = organizations.filter(pk__in=billed_to(user, MANAGE))
    elif project is not None:
        organizations = organizations.filter(pk=project.organization_id)
        projects = projects.filter(organization=project.organization_id)
    else:
        projects = projects.none()
    return [*((str(pk), _("%(organization)s, all projects") % {"organization": name})
              for pk, name in organizations.order_by("name", "pk").values_list("pk", "name")),
            *((str(pk), f"{organization} / {name}") for pk, organization, name in projects.order_by(
                "organization__name", "name", "pk").values_list("pk", "organization__name", "name"))]


class VoucherForm(VerbForm):
    """A code that somebody was given."""

    code = forms.CharField(label=_("Code of the voucher"), max_length=100, widget=forms.TextInput(attrs={
        "autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false", "placeholder": "7KQ2M-9X4TB-C0WFR-31ZXY"}))


class NewVoucherForm(OfVerb):
    """Makes a voucher; the code is told once, by the page that answers."""

    meters = meters_field()
    valid_from = forms.SplitDateTimeField(label=_("Valid from"), required=False, widget=UnfoldAdminSplitDateTimeWidget(),
                                          help_text=_("UTC; empty: from now on."))
    valid_until = forms.SplitDateTimeField(label=_("Valid until"), required=False, widget=UnfoldAdminSplitDateTimeWidget(),
                                           help_text=_("UTC; empty: without end."))

    class Meta:
        model = Voucher
        fields = ["amount", "reason", "most_uses", "valid_from", "valid_until", "lifetime_days", "meters", "region"]

    def carry_out(self, values: dict[str, Any]) -> Voucher:
        voucher, self.code = create_voucher(**values, actor=self.actor)
        return voucher
