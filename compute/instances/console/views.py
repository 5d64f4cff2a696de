"""The browser's way to consoles: tickets, who has one open, links to look."""
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from compute.instances.console import links, logs, operations, sessions
from compute.instances.console.forms import LinkForm
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.console.principals import principal_of
from compute.instances.errors import NotSupported
from compute.instances.models import ON_SCREEN, Instance
from compute.network.views.asking import sent, show_form
from portal.kernel.errors import HostFault, NotFound, TooManyRequests
from portal.kernel.pages import acted
from tenants import access
from tenants.pages import page

CONSOLE, VIEW, OPERATE = "instance.console", "instance.view", "instance.operate"
SERIAL, LOG = "serial", "log"
# Keyboards that a pasted text can be typed on, as static/keyboards.js has them.
LAYOUTS = [("us", gettext_lazy("US English")), ("gb", gettext_lazy("UK English")), ("de", gettext_lazy("German")),
           ("fr", gettext_lazy("French")), ("es", gettext_lazy("Spanish")), ("it", gettext_lazy("Italian")),
           ("jp", gettext_lazy("Japanese"))]


@never_cache
@page(CONSOLE, methods=("POST",))
def issue(request: HttpRequest, pk: UUID) -> JsonResponse:
    """A ticket for the instance's screen or serial console, as JSON for the page's script."""
    instance = _instance(request, CONSOLE, pk)
    return _ticket(request, lambda: operations.issue_ticket(
        instance, actor=request.user, principal=principal_of(request), type=_type(request),
        takes_over=request.POST.get("take_over") == "yes"))


@never_cache
@page(CONSOLE)
def download_log(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The console log as a file, as the guest wrote it."""
    instance = _instance(request, CONSOLE, pk)
    response = HttpResponse(logs.read_log(instance), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="console-{instance.pk}.log"'
    return response


@page(CONSOLE)
def session_list(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who has it open and which links are good: the part of the console's tab that is fetched anew."""
    instance = _instance(request, CONSOLE, pk)
    response = render(request, "instances/_console_sessions.html", {"instance": instance, **shared(request, instance)})
    response["Cache-Control"] = "no-store"
    return response


@page(OPERATE, methods=("POST",))
def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    instance = _instance(request, OPERATE, pk)
    ticket = sessions.end_session(instance, _id(request, "session"), actor=request.user)
    return acted(request, _("The console of %(user)s is being closed.") % {"user": ticket.user.username}, _page_of(instance))


@page(CONSOLE, methods=("GET", "POST"))
def make_link(request: HttpRequest, pk: UUID) -> HttpResponse:
    """No redirect: the link is on this answer only."""
    instance, form = _instance(request, CONSOLE, pk), LinkForm(sent(request))
    if request.method == "POST" and form.carried_out(lambda: links.make_link(
            instance, minutes=form.minutes, actor=request.user, principal=principal_of(request))):
        row, secret = form.made
        response = render(request, "instances/console_link.html", {
            "instance": instance, "link": row, "address": address_of(row, secret), "back": _page_of(instance)})
        response["Cache-Control"] = "no-store"
        return response
    return show_form(request, form, title=_("Let others look at the screen of “%(name)s”") % {"name": instance.name},
                     action=_("Make a link"), back=_page_of(instance), crumbs="instances:list", lead=_(
        "Whoever has the link, is signed in and sees the instance can look at its screen, and neither type nor click. It ends "
        "when the time is over, when the instance is restarted, when you may not open the console any more, or when somebody "
        "revokes it."))


@page(CONSOLE, methods=("POST",))
def revoke_link(request: HttpRequest, pk: UUID) -> HttpResponse:
    instance = _instance(request, CONSOLE, pk)
    links.revoke_link(instance, _id(request, "link"), actor=request.user)
    return acted(request, _("The link is revoked."), _page_of(instance))


@never_cache
@page(VIEW, methods=("GET", "POST"))
def look(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Where a link leads. The secret is in the fragment, which only the page's script sees; it asks for a ticket with it."""
    instance = _instance(request, VIEW, pk)
    if request.method == "GET":
        return render(request, "instances/console_view.html", {"instance": instance, **viewed(request, instance)})
    secret = request.POST.get("link", "")[:100]
    return _ticket(request, lambda: operations.issue_ticket(instance, actor=request.user, principal=principal_of(request),
                                                            link=links.find_link(instance, secret), type=_type(request)))


def shared(request: HttpRequest, instance: Instance) -> dict[str, object]:
    """For the console's tab: who looks and types, and who may look."""
    view = request.GET.get("view", "")
    if view == LOG:
        return {"view": LOG, **_log(instance)}
    why_no_link = "" if instance.state in ON_SCREEN else _("It is not running: there is no screen to see.")
    return {**viewed(request, instance), "sessions": sessions.sessions_of(instance), "links": links.links_of(instance),
            "why_no_link": why_no_link,
            "may_end": request.user.grants.allows(OPERATE, instance)}


def viewed(request: HttpRequest, instance: Instance) -> dict[str, object]:
    """Screen or serial console, and why there is no serial console."""
    view = SERIAL if request.GET.get("view") == SERIAL else ""
    has_none = view == SERIAL and not operations.has_serial(instance)
    why_not = _("The hypervisor of its host lets nobody at serial ports.") if has_none else ""
    return {"view": view, "layouts": LAYOUTS, "why_no_serial": why_not}


def script_of(request: HttpRequest) -> str:
    """What the console's tab runs."""
    return {SERIAL: "serial.js", LOG: ""}.get(request.GET.get("view", ""), "console.js")


def _log(instance: Instance) -> dict[str, object]:
    """The console log, or why there is none to see."""
    try:
        return {"log": logs.as_text(logs.read_log(instance)), "why_no_log": ""}
    except NotSupported:
        return {"log": "", "why_no_log": _("The host keeps no log of serial ports that the portal could read.")}
    except (HostFault, TooManyRequests) as error:
        return {"log": "", "why_no_log": error.detail}


def _type(request: HttpRequest) -> str:
    wanted = request.POST.get("type", ConsoleTicket.Type.VNC)
    if wanted not in ConsoleTicket.Type.values:
        raise NotFound
    return wanted


def address_of(link: ConsoleLink, secret: str) -> str:
    """What is passed on."""
    return f"{settings.SITE_URL}{reverse('instances:console-view', args=[link.instance_id])}#{secret}"


def _ticket(request: HttpRequest, issue: Callable[[], tuple[ConsoleTicket, str]]) -> JsonResponse:
    """The ticket, or in words why there is none, for the page's script."""
    try:
        return JsonResponse(operations.ticket_answer(*issue(), request))
    except (links.LinkRefused, sessions.TooManyConsoles, NotSupported) as error:
        return JsonResponse({"code": error.code, "detail": error.detail}, status=error.status)


def _instance(request: HttpRequest, permission: str, pk: UUID) -> Instance:
    rows = Instance.objects.select_related("project__organization", "host__endpoint")
    return access.fetch(request.user, rows, permission, pk=pk)


def _page_of(instance: Instance) -> str:
    return f"{reverse('instances:detail', args=[instance.pk])}?tab=console"


def _id(request: HttpRequest, name: str) -> UUID:
    try:
        return UUID(request.POST.get(name, ""))
    except ValueError as error:
        raise NotFound from error
