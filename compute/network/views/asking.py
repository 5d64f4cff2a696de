"""What every page with a form or a question needs here: where something new goes, the form's page, the question."""
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from compute.network.forms import VerbForm, networked_regions
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import is_fragment
from tenants.access import fetch
from tenants.models import Project
from tenants.scope import default_project


def place(request: HttpRequest, permission: str) -> Project | None:
    """The project that something new is for: the one that was sent, else where such things may be made; None for nowhere."""
    if request.method == "POST":
        return fetch(request.user, Project.objects.select_related("organization"), permission, pk=request.POST.get("project"))
    return default_project(request, permission) if networked_regions().exists() else None


def sent(request: HttpRequest) -> Any:
    """What a form is bound to."""
    return request.POST if request.method == "POST" else None


def show_form(request: HttpRequest, form: VerbForm, **context: object) -> HttpResponse:
    """The form as a page of its own: `title`, `action` (what the button says), `back`; `crumbs`
    ((name, address) pairs) when it belongs to a thing, not only to a list."""
    return render(request, "network/form.html", {"form": form, **context}, status=form.status)


def nowhere(request: HttpRequest, title: str) -> HttpResponse:
    return render(request, "network/nowhere.html", {"title": title, "has_region": networked_regions().exists()})


def ask(request: HttpRequest, *, title: str, text: str, yes: str, back: str, name: str = "") -> HttpResponse | None:
    """The question as a page, until the person has confirmed (and typed the name, where one is given); then None."""
    typed = request.POST.get("typed_name", "").strip()
    if "confirmed" in request.POST and typed == name.strip():
        return None
    error = _("This is not the name.") if name and "confirmed" in request.POST else ""
    if is_fragment(request):  # a script has asked already
        raise InvalidInput.field("typed_name" if name else "confirmed", error or _("Please confirm."))
    return render(request, "ui/confirm.html", {"title": title, "text": text, "yes": yes, "back": back, "name": name,
                                               "error": error, "action": request.path}, status=400 if error else 200)
