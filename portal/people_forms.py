"""Forms about people: who is invited, which role is given where, groups, roles of an organization, and an account's end.

What may be chosen is what the user manages; what may be given is the verbs' business (tenants.people).
"""
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm, read_once
from portal.kernel.declarations import ROLES, registry
from portal.kernel.fields import NameField
from tenants.models import Group, Organization, Project, Role, User
from tenants.people import MANAGE, Scope
from tenants.roles import LABELS

MOST_OFFERED = 500


def managed(user: User) -> list[Organization]:
    """The organizations whose members the user manages as a whole."""
    grants = user.grants
    wide = [pk for pk, names in grants.organization_wide.items() if MANAGE in names]
    rows = Organization.objects.all() if grants.sees_everything else Organization.objects.filter(pk__in=wide)
    return list(rows.order_by("name", "pk")[:MOST_OFFERED])


class ScopeField(forms.ChoiceField):
    """A whole organization or a project, as `organization:<id>` or `project:<id>`; its value is the row."""

    def offer(self, scopes: list[Scope]) -> None:
        self.rows = {f"{one._meta.model_name}:{one.pk}": one for one in scopes}
        self.choices = [(key, self._label(one)) for key, one in self.rows.items()]

    def _label(self, scope: Scope) -> str:
        if isinstance(scope, Project):
            return f"{scope.organization.name} / {scope.name}"
        return str(_("%(name)s (all of it)")) % {"name": scope.name}

    def clean(self, value: Any) -> Scope:
        return self.rows[super().clean(value)]


class RoleForm(VerbForm):
    """A role somewhere: where the user manages members, of one organization if it is given."""

    scope = ScopeField(label=_("Where"))
    role = forms.ChoiceField(label=_("Role"), initial="viewer")

    def __init__(self, *args: Any, user: User, organization: Organization | None = None, people: bool = True,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        whole = organization is not None and user.grants.may_in_organization(MANAGE, organization.pk)
        organizations = managed(user) if organization is None else [organization] if whole else []
        projects = Project.objects.visible_to(user, MANAGE).select_related("organization").order_by("organization__name", "name")
        if organization is not None:
            projects = projects.filter(organization=organization)
        scopes: list[Scope] = [*organizations, *projects[:MOST_OFFERED]]
        self.fields["scope"].offer(scopes)
        concerned = {one.pk if isinstance(one, Organization) else one.organization_id for one in scopes}
        own = Role.objects.filter(organization__in=concerned).select_related("organization").order_by("name", "pk")
        built_in = [(role, LABELS[role]) for role in ROLES if people or role != "owner"]
        self.fields["role"].choices = [*built_in, *((str(role.pk), f"{role.name} ({role.organization.name})") for role in own)]

    @property
    def chosen(self) -> tuple[str, Scope]:
        return self.cleaned_data["role"], self.cleaned_data["scope"]


class InviteForm(RoleForm):
    """Whom, as what, where."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)
    field_order = ("email", "scope", "role")


class OrganizationForm(VerbForm):
    """One of the organizations that are given."""

    organization = forms.ModelChoiceField(Organization.objects.none(), label=_("Organization"), empty_label=None)

    def __init__(self, *args: Any, organizations: list[Organization], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organization"]
        field.queryset = Organization.objects.filter(pk__in=[one.pk for one in organizations])
        field.choices = [(one.pk, one.name) for one in organizations]


class GroupForm(OrganizationForm):
    """A new group."""

    name = NameField()
    field_order = ("name", "organization")


class NamedForm(VerbForm):
    """A new name."""

    name = NameField()


class PermissionsForm(VerbForm):
    """A role of an organization's own: its name and what it holds, of what the user may give."""

    name = NameField()
    permissions = forms.MultipleChoiceField(label=_("Permissions"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, user: User, organization: Organization | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        grants = user.grants
        self.fields["permissions"].choices = [
            (name, declared.label) for name, declared in sorted(registry.permissions.items())
            if organization is None or grants.may_in_organization(name, organization.pk)]


class OwnRoleForm(PermissionsForm, OrganizationForm):
    """A new role of an organization's own."""

    field_order = ("name", "organization", "permissions")


class PersonForm(VerbForm):
    """A member of the group's organization who is not in it."""

    user = forms.ModelChoiceField(User.objects.none(), label=_("Member"), empty_label=None)

    def __init__(self, *args: Any, user: User, group: Group, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bound = Q(bindings__organization=group.organization_id) | Q(groups__of_organization__organization=group.organization_id)
        inside = User.objects.filter(bound).values("pk")
        read_once(self.fields["user"], User.objects.visible_to(user).filter(pk__in=inside).exclude(
            groups=group.auth_group_id).order_by("username", "pk"))


class DeleteAccountForm(VerbForm):
    """The password once more; the user name of whoever signs in without one."""

    proof = forms.CharField(max_length=200, strip=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        field = self.fields["proof"]
        if user.has_usable_password():
            field.label, field.widget = _("Your password"), forms.PasswordInput(attrs={"autocomplete": "current-password"})
        else:
            field.label = _("Your user name")

    def clean_proof(self) -> str:
        given, user = self.cleaned_data["proof"], self.user
        if not (user.check_password(given) if user.has_usable_password() else given == user.username):
            raise ValidationError(_("This is not right."), code="wrong")
        return given
