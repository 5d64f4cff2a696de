"""Notifications: what became of one's operations and what needs attention; a list, the drawer's part, and "read"."""
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal import notifications
from portal.kernel.pages import acted, fragment
from tenants.pages import page

ROWS_A_PAGE, IN_DRAWER = 50, 15
SHOWN = ("target", "project__organization", "actor")


@page("operation.view")
def listing(request: HttpRequest) -> HttpResponse:
    """Newest first; `?page=`."""
    rows = notifications.notifications(request.user).select_related(*SHOWN)
    found = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    return fragment(request, "notifications/list.html", "notifications/_list.html", page=found, rows=found,
                    seen=notifications.seen_until(request.user))


@page("operation.view")
def drawer(request: HttpRequest) -> HttpResponse:
    """The newest, for the drawer behind the bell."""
    rows = notifications.notifications(request.user).select_related(*SHOWN)[:IN_DRAWER]
    return render(request, "notifications/_drawer.html", {"rows": rows, "seen": notifications.seen_until(request.user)})


@page("operation.view", methods=("POST",))
def read(request: HttpRequest) -> HttpResponse:
    """Everything up to now has been seen."""
    notifications.mark_seen(request.user)
    return acted(request, _("All notifications are marked as read."), reverse("notifications:list"))
