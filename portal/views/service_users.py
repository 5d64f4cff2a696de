"""Service users: made on their project's page; here each of them, with its roles and keys."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network.views.asking import ask, sent, show_form
from portal.kernel.pages import acted
from portal.key_forms import ApiKeyForm, ServiceUserForm
from portal.people_forms import RoleForm
from portal.people_lists import shown
from portal.views.api_keys import show_once
from tenants import operations, people, service_users
from tenants.access import fetch
from tenants.models import ApiKey, Binding, Project, ServiceUser
from tenants.pages import page
from tenants.people import MANAGE

MOST_KEYS_SHOWN = 100


def _service(request: HttpRequest, permission: str, pk: UUID) -> ServiceUser:
    return fetch(request.user, ServiceUser.objects.select_related("user", "project__organization"), permission, pk=pk)


def _page(service: ServiceUser) -> str:
    return reverse("service_users:detail", args=[service.pk])


def _of_project(project: Project) -> str:
    return f"{reverse('projects:detail', args=[project.pk])}?tab=programs"


def _crumbs(service: ServiceUser, *further: tuple[str, str]) -> list[tuple[str, str]]:
    return [(service.project.name, _of_project(service.project)), *further]


@page(MANAGE, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """In the project that is named."""
    named = request.POST.get("project") or request.GET.get("project")
    project = fetch(request.user, Project.objects.select_related("organization"), MANAGE, pk=named)
    form = ServiceUserForm(sent(request))
    if request.method == "POST" and form.carried_out(
            lambda: service_users.create(project, actor=request.user, **form.cleaned_data)):
        return acted(request, _("The service user is there. Now give it a role, and make a key."), _page(form.made))
    return show_form(request, form, title=_("Create service user"), action=_("Create service user"), back=_of_project(project),
                     crumbs=[(project.name, _of_project(project))],
                     lead=_("An identity for a program: it belongs to the project, not to a person, and cannot sign in."))


@page("member.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _service(request, "member.view", pk))


def _show(request: HttpRequest, service: ServiceUser, form: RoleForm | None = None) -> HttpResponse:
    user, may_manage = request.user, request.user.grants.allows(MANAGE, service)
    bindings = Binding.objects.visible_to(user).filter(user=service.pk).select_related("organization", "project")
    keys = ApiKey.objects.visible_to(user).filter(owner=service.pk, revoked_at=None).select_related("project")
    if may_manage:
        form = form or RoleForm(user=user, organization=service.project.organization, people=False)
    return render(request, "tenants/service_user.html", {
        "service": service, "held": shown(bindings.order_by("role", "pk")), "may_manage": may_manage, "form": form,
        "keys": list(keys.order_by("-created_at", "pk")[:MOST_KEYS_SHOWN]), "crumbs": _crumbs(service, (service.name, ""))},
        status=form.status if form else 200)


@page(MANAGE, methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = _service(request, MANAGE, pk)
    form = ServiceUserForm(sent(request), initial={"name": service.name, "description": service.description})
    if request.method == "POST" and form.carried_out(
            lambda: service_users.change(service, actor=request.user, **form.cleaned_data)):
        return acted(request, _("Saved."), _page(service))
    return show_form(request, form, title=_("Edit service user"), action=_("Save"), back=_page(service),
                     crumbs=_crumbs(service, (service.name, _page(service))))


@page(MANAGE, methods=("POST",))
def bind(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = _service(request, MANAGE, pk)
    form = RoleForm(request.POST, user=request.user, organization=service.project.organization, people=False)
    if form.carried_out(lambda: people.give_role(*form.chosen, to=service.user, actor=request.user)):
        return acted(request, _("The role was given."), _page(service), leave=True)
    return _show(request, service, form)


@page(MANAGE, methods=("GET", "POST"))
def add_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """No redirect: the key's text is on the answer only."""
    service = _service(request, MANAGE, pk)
    form = ApiKeyForm(sent(request), user=request.user, all_projects=_("All in which it has a role"))
    form.fields["scopes"].help_text = _("None chosen: all that its roles allow.")
    if request.method == "POST" and form.carried_out(lambda: _make_key(request, service, form)):
        return show_once(request, *form.made, _page(service))
    return render(request, "tenants/service_user_key.html", {
        "form": form, "service": service, "back": _page(service),
        "crumbs": _crumbs(service, (service.name, _page(service)))}, status=form.status)


def _make_key(request: HttpRequest, service: ServiceUser, form: ApiKeyForm) -> tuple[ApiKey, str]:
    service_users.require_all_of(service, actor=request.user)
    return operations.create_api_key(service.user, actor=request.user, **form.key_options())


@page(MANAGE, methods=("POST",))
def deactivate(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = _service(request, MANAGE, pk)
    service_users.deactivate(service, actor=request.user)
    return acted(request, _("Its keys are refused from now on."), _page(service), leave=True)


@page(MANAGE, methods=("POST",))
def activate(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = _service(request, MANAGE, pk)
    service_users.activate(service, actor=request.user)
    return acted(request, _("Its keys are accepted again."), _page(service), leave=True)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = _service(request, MANAGE, pk)
    question = ask(request, title=_("Delete the service user “%(name)s”?") % {"name": service.name}, yes=_("Delete"),
                   text=_("Its keys are revoked and its roles end. This cannot be undone."), back=_page(service))
    if question:
        return question
    service_users.delete(service, actor=request.user)
    return acted(request, _("The service user was deleted."), _of_project(service.project), leave=True)
