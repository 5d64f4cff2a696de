"""Which notifications somebody gets, and the link under their mails that ends some of them."""
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from portal.kernel.pages import acted
from portal.notices import letters, preferences
from portal.notices.forms import PreferencesForm
from tenants.pages import page


@page(methods=("GET", "POST"))
def settings(request: HttpRequest) -> HttpResponse:
    """Kinds, and how one is told of each."""
    held = preferences.of(request.user.pk)
    form = PreferencesForm(request.POST if request.method == "POST" else None, preferences=held)
    if form.is_bound and form.carried_out(lambda: preferences.choose(request.user, actor=request.user, **form.chosen)):
        return acted(request, _("Your notifications are as you chose."), reverse("profile:notifications"))
    return render(request, "notices/settings.html", {"form": form, "address": letters.address_of(request.user)},
                  status=form.status)


@csrf_exempt  # mail programs press the button themselves (RFC 8058): the token in the address is what counts
@page(public=True, methods=("GET", "POST"))
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """Asks, and by POST does it: programs that look into mails open links. Whoever has the link can do this and nothing else."""
    token = request.GET.get("token", "")[:2000]
    if request.method == "POST":
        return render(request, "notices/unsubscribe.html", {"kinds": preferences.unsubscribe(token), "is_done": True})
    _user, kinds = preferences.read_token(token)
    return render(request, "notices/unsubscribe.html", {"kinds": kinds, "here": request.get_full_path()})
