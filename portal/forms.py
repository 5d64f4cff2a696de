"""Forms of pages that join rooms: projects, organizations. Those of API keys are in `portal.key_forms`."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.fields import NameField
from tenants.models import Organization, Project


class OrganizationForm(VerbForm):
    """What an organization is called, and what it asks of its members."""

    name = NameField()
    requires_mfa = forms.BooleanField(label=_("Require two-step sign-in of all members"), required=False, help_text=_(
        "Who has not set it up is led there, and gets to nothing of the organization until then; so do their API keys."))


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
