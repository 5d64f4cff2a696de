"""The tree of projects, and each of them: what it has, its quotas, its settings; create, change, move, archive, delete."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances.views.sheets import Action, Danger, may_not
from compute.network.views.asking import ask, sent, show_form
from portal.forms import MoveProjectForm, NewProjectForm, ProjectForm
from portal.kernel.pages import acted, is_fragment
from portal.notifications import activity_of
from portal.queries import projects as queries
from portal.views.quotas import offers
from tenants import operations, structure
from tenants.access import fetch, require, require_below, require_move
from tenants.errors import NotEmpty
from tenants.models import Project
from tenants.pages import page
from tenants.scope import current_region

MANAGE = "project.manage"
TABS = ("overview", "quotas", "programs", "settings")


@page("project.view")
def listing(request: HttpRequest) -> HttpResponse:
    trees, has_more = queries.trees(request.user, now=activity_of(request).at)
    return render(request, "tenants/projects.html", {"trees": trees, "has_more": has_more})


@page(MANAGE, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """Below a project that the person manages, or at the top of an organization that they do."""
    form = NewProjectForm(sent(request), user=request.user, parent=request.GET.get("parent", ""))
    if request.method == "POST" and form.carried_out(lambda: _make(request, form)):
        text = _("The project “%(name)s” is there.") % {"name": form.made.name}
        return acted(request, text, reverse("projects:detail", args=[form.made.pk]))
    return show_form(request, form, title=_("Create project"), action=_("Create project"), back=reverse("projects:list"))


def _make(request: HttpRequest, form: NewProjectForm) -> Project:
    chosen = form.cleaned_data
    require(request.user, MANAGE, chosen["parent"] or chosen["organization"])
    return operations.create_project(**chosen, actor=request.user)


@page("project.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` chooses the part."""
    return _show(request, _fetch(request, "project.view", pk), request.GET.get("tab", ""))


def _show(request: HttpRequest, project: Project, tab: str, **context: object) -> HttpResponse:
    tab = tab if tab in TABS else TABS[0]
    not_allowed = may_not(request, MANAGE, project)
    context |= {"project": project, "tab": tab, "part": f"tenants/_project_{tab}.html", "not_allowed": not_allowed,
                "tabs": [("overview", _("Overview"), None), ("quotas", _("Quotas"), None),
                         ("programs", _("Service users"), None), ("settings", _("Settings"), None)]}
    if tab == "overview":
        context["overview"] = queries.overview(request.user, project, now=activity_of(request).at)
    elif tab == "quotas":
        context |= {"regions": queries.limits(project, current_region(request)), "owner": project, **offers(request, project)}
    elif tab == "programs":
        context |= {"programs": queries.programs(request.user, project), "may_not_manage_people": may_not(
            request, "member.manage", project)}
    else:
        context["danger"] = _danger(project, not_allowed)
    return render(request, "tenants/project.html", context, status=409 if "obstacles" in context else 200)


def _danger(project: Project, not_allowed: str) -> Danger:
    return Danger(action=Action(
        label=_("Delete project"), symbol="trash", url=reverse("projects:delete", args=[project.pk]), is_bad=True,
        question=_("Delete the project “%(name)s”?") % {"name": project.name}, text=_effects()[0], typed=project.name,
        why_not=not_allowed), effects=_effects())


def _effects() -> list[str]:
    return [_("It is refused while anything lives in the project or below it, and says what."),
            _("Empty projects below it, and default VPCs and security groups that nothing uses, go with it."),
            _("API keys that are bound to it are revoked, and roles in it end."),
            _("What it cost stays on the bill, and what was done stays in the audit trail. This cannot be undone.")]


@page(MANAGE, methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name and description."""
    project = _fetch(request, MANAGE, pk)
    form = ProjectForm(sent(request), initial={"name": project.name, "description": project.description})
    if request.method == "POST" and form.carried_out(
            lambda: operations.change_project(project, actor=request.user, **form.cleaned_data)):
        return acted(request, _("Saved."), _settings_of(project))
    return show_form(request, form, title=_("Edit project"), action=_("Save"), **_within(project))


@page(MANAGE, methods=("GET", "POST"))
def move(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Below another project, or to the top of the organization."""
    project = _fetch(request, MANAGE, pk)
    form = MoveProjectForm(sent(request), user=request.user, project=project)
    if request.method == "POST" and form.carried_out(lambda: _move(request, project, form.cleaned_data["parent"])):
        return acted(request, _("The project was moved."), _settings_of(project))
    lead = _("Everything below it comes along. Roles that were inherited from where it stands end, those from where it comes "
             "begin, and from that second what it costs belongs there.")
    return show_form(request, form, title=_("Move project"), action=_("Move"), lead=lead, **_within(project))


def _move(request: HttpRequest, project: Project, parent: Project | None) -> Project:
    require_move(request.user, project, parent)
    return structure.move_project(project, parent=parent, actor=request.user)


@page(MANAGE, methods=("POST",))
def archive(request: HttpRequest, pk: UUID) -> HttpResponse:
    project = _fetch(request, MANAGE, pk)
    require_below(request.user, MANAGE, project)
    structure.archive_project(project, actor=request.user)
    return acted(request, _("The project is archived: nothing new is made in it."), _settings_of(project), leave=True)


@page(MANAGE, methods=("POST",))
def unarchive(request: HttpRequest, pk: UUID) -> HttpResponse:
    project = _fetch(request, MANAGE, pk)
    structure.unarchive_project(project, actor=request.user)
    return acted(request, _("The project takes new things again."), _settings_of(project), leave=True)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """With its name typed; what is in the way is shown with its pages."""
    project = _fetch(request, MANAGE, pk)
    question = ask(request, title=_("Delete the project “%(name)s”?") % {"name": project.name}, name=project.name,
                   yes=_("Delete"), text=" ".join(_effects()), back=_settings_of(project))
    if question:
        return question
    require_below(request.user, MANAGE, project)
    try:
        structure.delete_project(project, actor=request.user)
    except NotEmpty as error:
        if is_fragment(request):
            raise
        return _show(request, project, "settings", obstacles=queries.obstacles(error), in_the_way=error.facts["count"])
    return acted(request, _("The project was deleted."), reverse("projects:list"), leave=True)


def _fetch(request: HttpRequest, permission: str, pk: UUID) -> Project:
    return fetch(request.user, Project.objects.select_related("organization", "parent"), permission, pk=pk)


def _settings_of(project: Project) -> str:
    return f"{reverse('projects:detail', args=[project.pk])}?tab=settings"


def _within(project: Project) -> dict[str, object]:
    return {"crumbs": [(project.name, reverse("projects:detail", args=[project.pk]))], "back": _settings_of(project)}
