"""The parts of the frame that are fetched or posted by themselves: the project switcher, the region and the language."""
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import i18n

from portal.kernel.pages import fragment
from tenants.models import Project, User
from tenants.pages import page
from tenants.scope import choose_region, current_project

MOST_PROJECTS = 100
FILTER_FROM = 8  # fewer are seen at a glance


@page()
def switch(request: HttpRequest) -> HttpResponse:
    """The projects to choose from, by organization; `?q=` filters, `?to=` is where choosing one leads."""
    text, to = request.GET.get("q", "").replace("\0", "").strip()[:100], _local(request, request.GET.get("to", ""))
    rows = Project.objects.visible_to(request.user).select_related("organization")
    if text:
        rows = rows.filter(name__icontains=text) | rows.filter(organization__name__icontains=text)
    found = list(rows.order_by("organization__name", "organization_id", "name", "pk")[:MOST_PROJECTS + 1])
    return fragment(request, "portal/switch.html", "portal/_switch.html", found=found[:MOST_PROJECTS], to=to, text=text,
                    has_more=len(found) > MOST_PROJECTS, has_filter=bool(text) or len(found) >= FILTER_FROM,
                    chosen=current_project(request))


@page(methods=("POST",))
def region(request: HttpRequest) -> HttpResponse:
    """Look at one region, or at all."""
    choose_region(request, request.POST.get("region", ""))
    return redirect(_local(request, request.POST.get("next", "")))


def language(request: HttpRequest) -> HttpResponse:
    """As Django's own; mails to whoever is signed in follow. An operator who acts as somebody chooses for this browser alone."""
    response, user = i18n.set_language(request), request.user
    chosen = response.cookies.get(settings.LANGUAGE_COOKIE_NAME)
    if chosen and chosen.value in dict(settings.LANGUAGES) and user.is_authenticated and user.acted_by is None:
        User.objects.filter(pk=user.pk).update(language=chosen.value)
    return response


def _local(request: HttpRequest, address: str) -> str:
    """The address when it is one of ours; the first page otherwise."""
    is_ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if is_ours and address.startswith("/") else reverse("dashboard")
