"""Forms of programs' credentials: what a key may do, where and from where; how long a replaced secret lives; service users; and
operators' emergency accesses."""
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.declarations import registry
from portal.kernel.fields import NameField
from tenants import glass
from tenants.models import Organization, Project, User

DAYS = [("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("", _("never"))]
OVERLAPS = [("0", _("not at all: it is refused at once")), ("1", _("1 hour")), ("24", _("1 day")), ("72", _("3 days")),
            ("168", _("7 days"))]
MINUTES = [("15", _("15 minutes")), ("60", _("1 hour")), ("120", _("2 hours")), ("240", _("4 hours"))]
AREAS = {"apikey": _("API keys"), "audit": _("Audit trail"), "billing": _("Billing"), "budget": _("Budgets"),
         "floatingip": _("Floating IPs"),
         "image": _("Images"), "instance": _("Instances"), "invoice": _("Invoices"),
         "launch_template": _("Launch templates"), "member": _("Members"),
         "operation": _("Operations"), "organization": _("Organization"), "project": _("Projects"), "quota": _("Quotas"),
         "securitygroup": _("Security groups"), "snapshot": _("Snapshots"),
         "sshkey": _("SSH keys"), "usage": _("Usage"), "volume": _("Volumes"),
         "vpc": _("VPCs"), "webhook": _("Webhooks")}
ACTIONS = {"view": _("See"), "create": _("Create"), "update": _("Change"), "operate": _("Operate"), "console": _("Console"),
           "associate": _("Associate"), "attach": _("Attach"), "manage": _("Manage"), "delete": _("Delete"),
           "cancel": _("Cancel"), "revert": _("Revert"), "request": _("Ask for more")}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A permission in the table of what a key may do; without a name there is none."""

    name: str = ""
    label: Any = ""
    is_chosen: bool = False


class ApiKeyForm(VerbForm):
    """What a program may do with the key, where, from where, and for how long."""

    name = NameField(help_text=_("What will use it, for example “backup script”."))
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), required=False,
                                     empty_label=_("All of my projects"))
    includes_below = forms.BooleanField(label=_("Projects below it too"), required=False)
    days = forms.ChoiceField(label=_("Expires after"), required=False, choices=DAYS, initial="90")
    networks = forms.CharField(label=_("Accepted from"), required=False, max_length=4000,
                               widget=forms.Textarea(attrs={"rows": 2}), help_text=_(
                                   "Networks like 192.0.2.0/24 or 2001:db8::/32, one a line. Empty: from anywhere."))
    scopes = forms.MultipleChoiceField(label=_("Permissions"), required=False, widget=forms.CheckboxSelectMultiple,
                                       help_text=_("None chosen: all that you may do yourself."))

    def __init__(self, *args: Any, user: User, all_projects: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.visible_to(user).select_related("organization")
        if all_projects is not None:
            self.fields["project"].empty_label = all_projects
        permissions = sorted(registry.permissions.items())
        self.fields["scopes"].choices = [(name, declared.label) for name, declared in permissions]

    @property
    def actions(self) -> list[tuple[str, Any]]:
        """Columns of the table: what is declared for anything at all."""
        used = [name.partition(".")[2] for name in registry.permissions]
        return [(action, ACTIONS.get(action, action)) for action in sorted(set(used), key=self._place)]

    @property
    def table(self) -> list[tuple[Any, list[Cell]]]:
        """Rows of the table: an area with a cell for each action."""
        chosen = set(self["scopes"].value() or ())
        areas = sorted({name.partition(".")[0] for name in registry.permissions}, key=lambda area: str(AREAS.get(area, area)))
        return [(AREAS.get(area, area), [self._cell(f"{area}.{action}", chosen) for action, _label in self.actions])
                for area in areas]

    def _place(self, action: str) -> tuple[int, str]:
        known = list(ACTIONS)
        return (known.index(action) if action in known else len(known), action)

    def _cell(self, name: str, chosen: set[str]) -> Cell:
        declared = registry.permissions.get(name)
        return Cell(name=name, label=declared.label, is_chosen=name in chosen) if declared else Cell()

    def key_options(self) -> dict[str, object]:
        """For `tenants.operations.create_api_key`."""
        chosen = self.cleaned_data
        days = chosen["days"]
        return {"name": chosen["name"], "project": chosen["project"], "scopes": chosen["scopes"],
                "includes_below": chosen["includes_below"], "networks": chosen["networks"].split(),
                "expires_at": timezone.now() + timedelta(days=int(days)) if days else None}


class RotateForm(VerbForm):
    """How long the secret that is replaced still works."""

    overlap = forms.ChoiceField(label=_("The old secret works on for"), choices=OVERLAPS, initial="24")

    @property
    def duration(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class ServiceUserForm(VerbForm):
    """What a program is called."""

    name = NameField(help_text=_("The program, for example “deployment”. Once in a project."))
    description = forms.CharField(label=_("Description"), max_length=500, required=False)


class BreakGlassForm(VerbForm):
    """Where, why and for how long an operator needs to act."""

    organization = forms.ModelChoiceField(Organization.objects.none(), label=_("Organization"), empty_label=None)
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), required=False,
                                     empty_label=_("The whole organization"))
    reason = forms.CharField(label=_("Reason"), max_length=300, help_text=_("The tenant reads it."))
    minutes = forms.ChoiceField(label=_("How long"), choices=MINUTES, initial="60")

    MOST_OFFERED = 500

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organizations = Organization.objects.visible_to(user).order_by("name", "pk")
        projects = Project.objects.visible_to(user).select_related("organization").order_by("organization__name", "name", "pk")
        self.fields["organization"].queryset, self.fields["project"].queryset = organizations, projects
        self.fields["organization"].choices = [(one.pk, one.name) for one in organizations[:self.MOST_OFFERED]]
        self.fields["project"].choices = [("", self.fields["project"].empty_label), *(
            (one.pk, f"{one.organization.name} / {one.name}") for one in projects[:self.MOST_OFFERED])]

    def open(self, user: User) -> Any:
        chosen = self.cleaned_data
        return glass.break_glass(chosen["organization"], project=chosen["project"], reason=chosen["reason"], actor=user,
                                 duration=timedelta(minutes=int(chosen["minutes"])))
