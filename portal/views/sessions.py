"""Where somebody is signed in: their browsers' sessions, and ending them."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.kernel.errors import NotFound
from portal.kernel.pages import acted
from tenants import browsers
from tenants.models import BrowserSession
from tenants.pages import page

HOME = "sessions:list"


@page()
def listing(request: HttpRequest) -> HttpResponse:
    here = request.session.session_key
    found = [(row, browsers.device(row.agent), row.session_key == here) for row in browsers.living(request.user)]
    return render(request, "tenants/sessions.html", {"found": found, "has_others": any(not is_here for *_row, is_here in found)})


@page(methods=("POST",))
def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One of them; this one as well."""
    row = BrowserSession.objects.visible_to(request.user).filter(pk=pk).first()
    if row is None:
        raise NotFound
    is_here = row.session_key == request.session.session_key
    browsers.end(row, actor=request.user)
    if is_here:
        request.session.flush()
    return acted(request, _("Signed out there."), reverse("account_login" if is_here else HOME), leave=True)


@page(methods=("POST",))
def end_others(request: HttpRequest) -> HttpResponse:
    """All but this one."""
    count = browsers.end_all(request.user, actor=request.user, but=request.session.session_key)
    return acted(request, _("Signed out everywhere else.") if count else _("You are signed in nowhere else."), reverse(HOME),
                 leave=True)
