"""The credit that the top bar shows."""
from django import template
from django.http import HttpRequest

from billing import credit
from portal.kernel.errors import NotFound
from tenants.scope import current_project, projects_of

register = template.Library()


@register.simple_tag(takes_context=True)
def credit_of_request(context: template.Context) -> credit.Balance | None:
    """Of the organization looked at, when it lives on credit: of the chosen project's, or of the only one. Asks nothing else."""
    request: HttpRequest = context["request"]
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.grants.may_anywhere("usage.view"):
        return None
    try:
        chosen = current_project(request)
    except NotFound:  # the error page of `?project=<nonsense>` has a frame too
        return None
    if chosen is None and user.grants.sees_everything:
        return None
    seen = {project.organization for project in ([chosen] if chosen else projects_of(request))}
    found = credit.balances(filter(credit.pays_by_credit, seen)) if len(seen) == 1 else []
    return next(iter(found), None)
