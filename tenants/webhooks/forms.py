"""What people fill in about a webhook. Shapes are checked here; rules live in the verbs."""
from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError
from portal.kernel.fields import NameField
from portal.kernel.forms import VerbForm
from tenants.models import Organization, Project
from tenants.webhooks.addresses import LONGEST
from tenants.webhooks.events import LONGEST_PATTERN, MOST_PATTERNS


class PatternsField(forms.CharField):
    """Patterns of events, one a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return super().clean(value).split()


class ChangeForm(VerbForm):
    """What can be changed later too."""

    CALLED = {"patterns": "events", "project": "where", "organization": "where"}
    conflict: PortalError | None = None
    name = NameField(help_text=_("What receives it, for example “chat”."))
    url = forms.CharField(label=_("Address"), max_length=LONGEST, widget=forms.TextInput(attrs={
        "inputmode": "url", "spellcheck": "false", "autocomplete": "off", "placeholder": "https://hooks.example.org/mains"}))
    events = PatternsField(label=_("Events"), max_length=MOST_PATTERNS * (LONGEST_PATTERN + 2), widget=forms.Textarea(attrs={
        "rows": 4, "spellcheck": "false", "placeholder": "instance.*"}), help_text=_(
            "One pattern a line; * stands for anything. instance.* are instances, *.failed is all that failed, "
            "audit.* what people do, * everything."))
    description = forms.CharField(label=_("Description"), max_length=500, required=False)


class WebhookForm(ChangeForm):
    """A new one, of an organization or a project in which the user may make it."""

    where = forms.ChoiceField(label=_("Whose events"))
    field_order = ("where", "name", "url", "events", "description")

    def __init__(self, *args: Any, user: Any, project: Project | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organizations = [row for row in Organization.objects.visible_to(user).order_by("name", "pk")
                         if user.grants.may_in_organization("webhook.manage", row.pk)]
        projects = Project.objects.visible_to(user, "webhook.manage").select_related("organization").order_by(
            "organization__name", "name", "pk")
        self.places: dict[str, Organization | Project] = {str(row.pk): row for row in (*organizations, *projects)}
        self.fields["where"].choices = [
            *((str(row.pk), _("%(organization)s, all projects") % {"organization": row.name}) for row in organizations),
            *((str(row.pk), f"{row.organization.name} / {row.name}") for row in projects)]
        self.initial = {"where": str(_nearest(project, self.places)), "events": ["*"]} | self.initial

    @property
    def place(self) -> tuple[Organization, Project | None]:
        """The organization, and the project where it is one project's."""
        chosen = self.places[self.cleaned_data["where"]]
        return (chosen.organization, chosen) if isinstance(chosen, Project) else (chosen, None)


def _nearest(project: Project | None, places: dict[str, Any]) -> UUID | str:
    """Where a new one is probably meant: the project that is looked at, else the first place."""
    return project.pk if project is not None and str(project.pk) in places else next(iter(places), "")
