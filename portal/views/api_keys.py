"""API keys of the signed-in user: list, create (the text is shown once, on the answer itself), revoke."""
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.forms import ApiKeyForm
from portal.kernel.pages import acted
from portal.lists import ApiKeyList
from tenants import operations
from tenants.access import fetch
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
    if not form.is_valid():
        return _show(request, form, status=400)
    key, text = operations.create_api_key(request.user, actor=request.user, **form.key_options())
    response = _show(request, made=key, text=text)
    response["Cache-Control"] = "no-store"
    return response


@page("apikey.manage", methods=("POST",))
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = fetch(request.user, ApiKey.objects, "apikey.manage", pk=pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "title": _("Revoke the API key “%(name)s”?") % {"name": key.name}, "yes": _("Revoke"),
            "action": request.path, "back": reverse("api_keys:list"),
            "text": _("Programs that use it are refused at once. This cannot be undone.")})
    operations.revoke_api_key(key, actor=request.user)
    return acted(request, _("The key was revoked."), reverse("api_keys:list"), leave=True)
