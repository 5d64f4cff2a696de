"""Which project the browser looks at: kept in the session, changed by `?project=`. It narrows, never grants."""
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from portal.kernel.errors import NotFound
from tenants.models import Project

SESSION_KEY = "project"
ALL = "all"


def projects_of(request: HttpRequest) -> list[Project]:
    """All projects that the user sees, by organization; one query a request."""
    if not hasattr(request, "_projects"):
        request._projects = list(Project.objects.visible_to(request.user).select_related("organization")
                                 .order_by("organization__name", "name", "pk"))
    return request._projects


def current_project(request: HttpRequest) -> Project | None:
    """The chosen project; None when all are shown. Raises NotFound when `?project=` names none that is visible."""
    asked = request.GET.get("project")
    if asked is not None:
        _remember(request, asked)
    chosen = request.session.get(SESSION_KEY)
    return next((project for project in projects_of(request) if str(project.pk) == chosen), None)


def default_project(request: HttpRequest, permission: str) -> Project | None:
    """Where something new goes: the project looked at, if `permission` is held there; else the first where it is."""
    grants = request.user.grants
    allowed = [project for project in projects_of(request) if grants.may(permission, project.pk)]
    current = current_project(request)
    return current if current in allowed else next(iter(allowed), None)


def _remember(request: HttpRequest, asked: str) -> None:
    if asked in ("", ALL):
        request.session.pop(SESSION_KEY, None)
        return
    try:
        wanted = UUID(asked)
    except ValueError as error:
        raise NotFound from error
    if not any(project.pk == wanted for project in projects_of(request)):
        raise NotFound
    if request.session.get(SESSION_KEY) != str(wanted):
        request.session[SESSION_KEY] = str(wanted)


def narrow(request: HttpRequest, queryset: QuerySet) -> QuerySet:
    """Rows of the chosen project; all of them when none is chosen. The caller has asked `visible_to` before."""
    project = current_project(request)
    return queryset if project is None else queryset.filter(project=project)
