"""API keys of the signed-in user: list, create, rotate (the text is shown once, on the answer itself), revoke. Keys of service
users are rotated and revoked here too."""
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network.views.asking import ask, sent, show_form
from portal.kernel.pages import acted
from portal.key_forms import ApiKeyForm, RotateForm
from portal.lists import ApiKeyList
from tenants import operations
from tenants.access import fetch
from tenants.keys import require_manager
from tenants.models import ApiKey
from tenants.pages import page


def _show(request: HttpRequest, form: ApiKeyForm | None = None, status: int = 200, **context: object) -> HttpResponse:
    return ApiKeyList(request).answer(status=status, form=form or ApiKeyForm(user=request.user),
                                      site_url=settings.SITE_URL, **context)


@page("apikey.manage")
def listing(request: HttpRequest) -> HttpResponse:
    return _show(request)


@page("apikey.manage", methods=("POST",))
def create(request: HttpRequest) -> HttpResponse:
    """No redirect: the key's text is on this answer only."""
    form = ApiKeyForm(request.POST, user=request.user)
    if not form.carried_out(lambda: operations.create_api_key(request.user, actor=request.user, **form.key_options())):
        return _show(request, form, status=form.status)
    key, text = form.made
    response = _show(request, made=key, text=text)
    response["Cache-Control"] = "no-store"
    return response


def show_once(request: HttpRequest, key: ApiKey, text: str, back: str) -> HttpResponse:
    """The key's text, on this answer only."""
    response = render(request, "portal/key_shown.html", {"made": key, "text": text, "back": back, "site_url": settings.SITE_URL})
    response["Cache-Control"] = "no-store"
    return response


def _home(key: ApiKey) -> str:
    """The page on which the key is listed."""
    return reverse("service_users:detail", args=[key.owner_id]) if key.owner.is_service else reverse("api_keys:list")


def _key(request: HttpRequest, pk: UUID) -> ApiKey:
    return fetch(request.user, ApiKey.objects.select_related("owner"), "apikey.manage", pk=pk)


@page("apikey.manage", methods=("GET", "POST"))
def rotate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new secret for the key; the old one works on for a while."""
    key = _key(request, pk)
    require_manager(key, actor=request.user)
    form = RotateForm(sent(request))
    if request.method == "POST" and form.carried_out(
            lambda: operations.rotate_api_key(key, actor=request.user, overlap=form.duration)):
        return show_once(request, *form.made, _home(key))
    lead = _("The key stays the same, with its name, rights and expiry. The secret that is replaced works on for as long as you "
             "choose, so that programs can be told the new one.")
    return show_form(request, form, title=_("New secret for “%(name)s”") % {"name": key.name}, action=_("Make a new secret"),
                     back=_home(key), lead=lead)


@page("apikey.manage", methods=("POST",))
def end_previous(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = _key(request, pk)
    question = ask(request, title=_("End the old secret of “%(name)s”?") % {"name": key.name}, yes=_("End it"), back=_home(key),
                   text=_("Programs that still use it are refused at once."))
    if question:
        return question
    operations.end_previous_secret(key, actor=request.user)
    return acted(request, _("The old secret is refused from now on."), _home(key), leave=True)


@page("apikey.manage", methods=("POST",))
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = _key(request, pk)
    question = ask(request, title=_("Revoke the API key “%(name)s”?") % {"name": key.name}, yes=_("Revoke"), back=_home(key),
                   text=_("Programs that use it are refused at once. This cannot be undone."))
    if question:
        return question
    operations.revoke_api_key(key, actor=request.user)
    return acted(request, _("The key was revoked."), _home(key), leave=True)
