"""Groups of an organization, and the roles that it made for itself."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network.views.asking import ask, sent, show_form
from portal.kernel.declarations import ROLES, registry
from portal.kernel.pages import acted
from portal.people_forms import GroupForm, NamedForm, OwnRoleForm, PermissionsForm, PersonForm, RoleForm, managed
from portal.people_lists import GroupList, own_roles, shown
from tenants import people
from tenants.access import fetch
from tenants.models import Binding, Group, Role, User
from tenants.pages import page
from tenants.people import MANAGE
from tenants.roles import LABELS, permissions_of


@page("member.view")
def listing(request: HttpRequest) -> HttpResponse:
    return GroupList(request).answer()


@page(MANAGE, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    form = GroupForm(sent(request), organizations=managed(request.user))
    if request.method == "POST" and form.carried_out(lambda: people.create_group(
            form.cleaned_data["organization"], form.cleaned_data["name"], actor=request.user)):
        return acted(request, _("The group was made. Now say who is in it, and what it may do."),
                     reverse("groups:detail", args=[form.made.pk]))
    return show_form(request, form, title=_("Create group"), action=_("Create group"), back=reverse("groups:list"),
                     lead=_("A role that is given to a group is its members'."))


def _group(request: HttpRequest, permission: str, pk: UUID) -> Group:
    return fetch(request.user, Group.objects.select_related("organization", "auth_group"), permission, pk=pk)


@page("member.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who is in it, and what it is bound to."""
    return _show(request, _group(request, "member.view", pk))


def _show(request: HttpRequest, group: Group, form: RoleForm | None = None, person: PersonForm | None = None) -> HttpResponse:
    user, may_manage = request.user, request.user.grants.allows(MANAGE, group)
    bindings = Binding.objects.visible_to(user).filter(group=group).select_related("organization", "project")
    if may_manage:
        form = form or RoleForm(user=user, organization=group.organization, people=False)
        person = person or PersonForm(user=user, group=group)
    return render(request, "tenants/group.html", {
        "group": group, "members": list(group.auth_group.user_set.order_by("username", "pk")[:500]),
        "held": shown(bindings.order_by("role", "pk")),
        "may_manage": may_manage, "form": form, "person": person, "crumbs": [(group.name, "")]},
        status=max(form.status, person.status) if form and person else 200)


@page(MANAGE, methods=("GET", "POST"))
def rename(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _group(request, MANAGE, pk)
    form = NamedForm(sent(request), initial={"name": group.name})
    here = reverse("groups:detail", args=[pk])
    if request.method == "POST" and form.carried_out(
            lambda: people.rename_group(group, form.cleaned_data["name"], actor=request.user)):
        return acted(request, _("The group was renamed."), here)
    return show_form(request, form, title=_("Rename group"), action=_("Save"), back=here, crumbs=[(group.name, here)])


@page(MANAGE, methods=("POST",))
def add(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _group(request, MANAGE, pk)
    form = PersonForm(request.POST, user=request.user, group=group)
    if form.carried_out(lambda: people.add_to_group(group, form.cleaned_data["user"], actor=request.user)):
        return acted(request, _("The member was added."), reverse("groups:detail", args=[pk]), leave=True)
    return _show(request, group, person=form)


@page(MANAGE, methods=("POST",))
def drop(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Somebody is no member of the group any more."""
    group = _group(request, MANAGE, pk)
    member = fetch(request.user, User.objects, "member.view", pk=request.POST.get("user"))
    people.remove_from_group(group, member, actor=request.user)
    return acted(request, _("The member was taken out."), reverse("groups:detail", args=[pk]), leave=True)


@page(MANAGE, methods=("POST",))
def bind(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _group(request, MANAGE, pk)
    form = RoleForm(request.POST, user=request.user, organization=group.organization, people=False)
    if form.carried_out(lambda: people.give_role(*form.chosen, to=group, actor=request.user)):
        return acted(request, _("The role was given."), reverse("groups:detail", args=[pk]), leave=True)
    return _show(request, group, form)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _group(request, MANAGE, pk)
    question = ask(request, title=_("Delete the group “%(name)s”?") % {"name": group.name}, yes=_("Delete"),
                   text=_("Its members lose what they hold through it alone."), back=reverse("groups:detail", args=[pk]))
    if question:
        return question
    people.delete_group(group, actor=request.user)
    return acted(request, _("The group was deleted."), reverse("groups:list"), leave=True)


# -- roles --

@page("member.view")
def roles(request: HttpRequest) -> HttpResponse:
    """The built-in ones, and those that organizations made; each with what it holds."""
    labels = {name: declared.label for name, declared in registry.permissions.items()}
    built_in = [(LABELS[role], [labels[name] for name in sorted(permissions_of(role))]) for role in ROLES]
    may = request.user.grants.allows
    own = [(role, [labels.get(name, name) for name in role.permissions], may(MANAGE, role)) for role in own_roles(request.user)]
    return render(request, "tenants/roles.html", {"built_in": built_in, "own": own, "may_create": bool(managed(request.user))})


@page(MANAGE, methods=("GET", "POST"))
def create_role(request: HttpRequest) -> HttpResponse:
    form = OwnRoleForm(sent(request), user=request.user, organizations=managed(request.user))
    if request.method == "POST" and form.carried_out(lambda: people.create_role(
            **form.cleaned_data, actor=request.user)):
        return acted(request, _("The role was made. It can be given like any other."), reverse("roles:list"))
    return show_form(request, form, title=_("Create role"), action=_("Create role"), back=reverse("roles:list"),
                     lead=_("It can hold what you hold yourself in the whole organization."))


@page(MANAGE, methods=("GET", "POST"))
def edit_role(request: HttpRequest, pk: UUID) -> HttpResponse:
    role = _role(request, pk)
    form = PermissionsForm(sent(request), user=request.user, organization=role.organization,
                           initial={"name": role.name, "permissions": role.permissions})
    if request.method == "POST" and form.carried_out(lambda: people.change_role(role, **form.cleaned_data, actor=request.user)):
        return acted(request, _("The role was changed."), reverse("roles:list"))
    return show_form(request, form, title=_("Change role"), action=_("Save"), back=reverse("roles:list"),
                     lead=_("Whoever has the role has it so from the next request on."), crumbs=[(role.name, "")])


@page(MANAGE, methods=("POST",))
def delete_role(request: HttpRequest, pk: UUID) -> HttpResponse:
    role = _role(request, pk)
    question = ask(request, title=_("Delete the role “%(name)s”?") % {"name": role.name}, yes=_("Delete"),
                   text=_("It is taken away from everybody who has it."), back=reverse("roles:list"))
    if question:
        return question
    people.delete_role(role, actor=request.user)
    return acted(request, _("The role was deleted."), reverse("roles:list"), leave=True)


def _role(request: HttpRequest, pk: UUID) -> Role:
    return fetch(request.user, Role.objects.select_related("organization"), MANAGE, pk=pk)
