"""Which project and region the browser looks at: kept in the session. They narrow, never grant.

The project is changed by `?project=` on any page, so that a link can carry it; the region by a form (`choose_region`).
"""
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from portal.kernel.composed import Composed
from portal.kernel.errors import NotFound
from portal.kernel.models import Region
from tenants.models import Project

SESSION_KEY = "project"
REGION_KEY = "region"
ALL = "all"


def projects_of(request: HttpRequest) -> list[Project]:
    """All projects that the user sees, by organization; one query a request."""
    if not hasattr(request, "_projects"):
        grants = request.user.grants
        request._projects = list(_in_order(Project.objects.living())) if grants.sees_everything else SEEN.models(
            projects=list(grants.projects("project.view")))
    return request._projects


def _in_order(projects: QuerySet[Project]) -> QuerySet[Project]:
    return projects.select_related("organization").order_by("organization__name", "name", "pk")


SEEN = Composed(lambda projects: _in_order(Project.objects.living().filter(pk__any_of=projects)), projects=list[UUID])


def current_project(request: HttpRequest) -> Project | None:
    """The chosen project; None when all are shown. Raises NotFound when `?project=` names none that is visible."""
    asked = request.GET.get("project")
    if asked is not None:
        _remember(request, asked)
    chosen = request.session.get(SESSION_KEY)
    if chosen is None:
        return None
    if not hasattr(request, "_current_project"):
        request._current_project = _visible(request, chosen)
    return request._current_project


def _visible(request: HttpRequest, pk: str) -> Project | None:
    """The project as the request has it already, if it has read them all."""
    if hasattr(request, "_projects"):
        return next((project for project in request._projects if str(project.pk) == pk), None)
    return Project.objects.visible_to(request.user).select_related("organization").filter(pk=pk).first()


def default_project(request: HttpRequest, permission: str) -> Project | None:
    """Where something new goes: the project looked at, if `permission` is held there; else the first where it is."""
    current, may = current_project(request), request.user.grants.may
    if current is not None and may(permission, current.pk):
        return current
    if hasattr(request, "_projects"):
        return next((project for project in request._projects if may(permission, project.pk)), None)
    return _in_order(Project.objects.visible_to(request.user, permission)).first()


def _remember(request: HttpRequest, asked: str) -> None:
    if asked in ("", ALL):
        request.session.pop(SESSION_KEY, None)
        return
    try:
        wanted = UUID(asked)
    except ValueError as error:
        raise NotFound from error
    if not Project.objects.visible_to(request.user).filter(pk=wanted).exists():
        raise request.user.grants.absence(request.user, lambda user: Project.objects.visible_to(user).filter(pk=wanted))
    if request.session.get(SESSION_KEY) != str(wanted):
        request.session[SESSION_KEY] = str(wanted)


def narrow(request: HttpRequest, queryset: QuerySet) -> QuerySet:
    """Rows of the chosen project and region; all of them when none is chosen. The caller has asked `visible_to` before."""
    project, region = current_project(request), current_region(request)
    rows = queryset if project is None else queryset.filter(project=project)
    return rows if region is None else rows.filter(region=region)


def regions_of(request: HttpRequest) -> list[Region]:
    """All regions; one query a request."""
    if not hasattr(request, "_regions"):
        request._regions = list(Region.objects.visible_to(request.user).order_by("name", "pk"))
    return request._regions


def know_regions(request: HttpRequest, regions: list[Region]) -> None:
    """They have been read with something else; `regions_of` need not ask again."""
    request._regions = regions


def current_region(request: HttpRequest) -> Region | None:
    """The chosen region; None when all are shown, as when there is only one."""
    chosen = request.session.get(REGION_KEY)
    if chosen is None:
        return None
    return next((region for region in regions_of(request) if region.slug == chosen), None)


def choose_region(request: HttpRequest, slug: str) -> None:
    """Remember it; ALL or an empty text for all of them. Raises NotFound when there is none of that name."""
    if slug in ("", ALL):
        request.session.pop(REGION_KEY, None)
    elif any(region.slug == slug for region in regions_of(request)):
        request.session[REGION_KEY] = slug
    else:
        raise NotFound
