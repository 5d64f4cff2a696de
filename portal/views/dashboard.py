"""The first page."""
from django.http import HttpRequest, HttpResponse

from portal import queries
from portal.kernel.pages import fragment
from tenants.pages import page
from tenants.scope import current_project


@page()
def dashboard(request: HttpRequest) -> HttpResponse:
    """What runs, what it costs, what needs attention, what happened."""
    project = current_project(request)
    return fragment(request, "portal/dashboard.html", "portal/_dashboard.html",
                    board=queries.dashboard(request.user, project), project=project)
