"""Forms of pages that join rooms: API keys, projects, organizations."""
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.declarations import registry
from portal.kernel.fields import NameField
from tenants.models import Organization, Project

DAYS = [("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("", _("never"))]


class ApiKeyForm(forms.Form):
    """What a program may do with the key, where, and for how long."""

    name = NameField(help_text=_("What will use it, for example “backup script”."))
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), required=False,
                                     empty_label=_("All of my projects"))
    scopes = forms.MultipleChoiceField(label=_("Permissions"), required=False, widget=forms.CheckboxSelectMultiple,
                                       help_text=_("None chosen: all that you may do yourself."))
    days = forms.ChoiceField(label=_("Expires after"), required=False, choices=DAYS, initial="90")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.visible_to(user).select_related("organization")
        permissions = sorted(registry.permissions.items())
        self.fields["scopes"].choices = [(name, declared.label) for name, declared in permissions]

    def key_options(self) -> dict[str, object]:
        """For `tenants.operations.create_api_key`."""
        chosen = self.cleaned_data
        days = chosen["days"]
        return {"name": chosen["name"], "project": chosen["project"], "scopes": chosen["scopes"],
                "expires_at": timezone.now() + timedelta(days=int(days)) if days else None}


class OrganizationForm(VerbForm):
    """What an organization is called."""

    name = NameField()


class ProjectForm(VerbForm):
    """What a project is called."""

    name = NameField(help_text=_("Once beside each other; case does not tell them apart."))
    description = forms.CharField(label=_("Description"), max_length=500, required=False)


class PlaceField(forms.ModelChoiceField):
    """A project by its whole path, as far as names of what is above it are known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Project.objects.none(), **options)

    def offer(self, rows: Any) -> None:
        self.queryset = rows.select_related("organization").order_by("organization__name", "name", "pk")

    def label_from_instance(self, row: Project) -> str:
        return f"{row.organization.name} / {'… / ' * (len(row.path) > 1)}{row.name}"


class NewProjectForm(ProjectForm):
    """A project below another, or at the top of an organization."""

    BLAMED = {"project_archived": "parent"}
    organization = forms.ModelChoiceField(Organization.objects.none(), label=_("Organization"), empty_label=None)
    parent = PlaceField(label=_("Below"), required=False, empty_label=_("None: at the top of the organization"))
    field_order = ("organization", "parent", "name", "description")

    def __init__(self, *args: Any, user: Any, parent: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        manageable = Project.objects.visible_to(user, "project.manage")
        self.fields["parent"].offer(manageable)
        self.fields["organization"].queryset = Organization.objects.visible_to(user)
        chosen = next((row for row in self.fields["parent"].queryset if str(row.pk) == parent), None)
        if chosen is not None:
            self.initial |= {"parent": chosen.pk, "organization": chosen.organization_id}


class MoveProjectForm(VerbForm):
    """Where a project is to stand."""

    BLAMED = {"project_archived": "parent", "quota_exceeded": "parent"}
    CALLED = {"name": "parent"}
    parent = PlaceField(label=_("Below"), required=False, empty_label=_("None: at the top of the organization"))

    def __init__(self, *args: Any, user: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Project.objects.visible_to(user, "project.manage").filter(organization_id=project.organization_id)
        self.fields["parent"].offer(places.exclude(path__contains=[str(project.pk)]))
        self.initial.setdefault("parent", project.parent_id)
