"""The credit that the top bar shows, and what is due above every page."""
from django import template
from django.http import HttpRequest

from billing import attention, credit
from billing.models import Dunning
from portal.kernel.errors import NotFound
from tenants.scope import current_project, projects_of

register = template.Library()


@register.simple_tag(takes_context=True)
def credit_of_request(context: template.Context) -> credit.Balance | None:
    """Of the organization looked at, when it lives on credit: of the chosen project's, or of the only one. Asks nothing else;
    a page that has read an organization's balances already hands them on as `balances`."""
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
    living = [one for one in seen if credit.pays_by_credit(one, lately=True)] if len(seen) == 1 else []
    read = [one for one in context.get("balances", ()) if one.organization in living]
    return next(iter(read or credit.balances(living)), None)


@register.simple_tag(takes_context=True)
def unpaid_of_request(context: template.Context) -> list[Dunning]:
    """Where the organizations whose bills the user sees stand on the ladder; nothing for whoever sees all of them, and on a page
    that shows it itself (`dunning`). It may be some seconds old."""
    user = getattr(context["request"], "user", None)
    if user is None or not user.is_authenticated or user.grants.sees_everything or "dunning" in context:
        return []
    return attention.refused(user)[:credit.MOST_SHOWN]
