"""The browser's way to a console ticket."""
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from compute.instances.console import operations
from compute.instances.console.principals import principal_of
from compute.instances.models import Instance
from tenants import access
from tenants.pages import page


@never_cache
@page("instance.console", methods=("POST",))
def issue(request: HttpRequest, pk: object) -> JsonResponse:
    """A ticket for the instance's screen, as JSON for the page's script."""
    instance = access.fetch(request.user, Instance.objects, "instance.console", pk=pk)
    row, text = operations.issue_ticket(instance, actor=request.user, principal=principal_of(request))
    return JsonResponse(operations.ticket_answer(row, text, request))
