"""The first page: the tenants' or, for operators who look at no project, the operators'."""
from django.http import HttpRequest, HttpResponse

from portal import queries
from portal.kernel.pages import fragment
from portal.notifications import activity_of
from tenants.pages import page
from tenants.scope import current_project, projects_of


@page()
def dashboard(request: HttpRequest) -> HttpResponse:
    """What runs, what it costs, what needs attention, what happened."""
    told = activity_of(request)
    if not request.user.grants.sees_everything:
        projects_of(request)  # with all of them the chosen one is known, too
    project = current_project(request)
    if project is None and request.user.grants.sees_everything:
        board = queries.operator_board(in_flight=told.live, now=told.at)
        return fragment(request, "portal/operators.html", "portal/_operators.html", board=board)
    board = queries.tenant_board(request.user, project, projects_of(request), regions=told.regions, requests=told.requests,
                                 now=told.at)
    return fragment(request, "portal/dashboard.html", "portal/_dashboard.html", board=board, project=project)
