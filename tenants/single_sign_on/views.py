"""Pages of signing in with a provider: which one by e-mail address, the way there, and back."""
from urllib.parse import urlsplit

from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from requests.exceptions import RequestException

from tenants.single_sign_on import rules
from tenants.single_sign_on.provider import OidcAdapter


class AddressForm(forms.Form):
    """Whose provider is wanted."""

    email = forms.EmailField(label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))

    def clean_email(self) -> str:
        self.connection = rules.of_domain(rules.domain_of(self.cleaned_data["email"]))
        if self.connection is None:
            raise forms.ValidationError(gettext("There is no single sign-on for addresses of this domain."), code="none")
        return self.cleaned_data["email"]


@login_not_required
def start(request: HttpRequest) -> HttpResponse:
    """To the provider of an address's domain; whether anybody has the address is not looked up."""
    form = AddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect("oidc_login", form.connection.slug)
    return render(request, "socialaccount/start.html", {"form": form})


@login_not_required
def login(request: HttpRequest, slug: str) -> HttpResponse:
    """A question, so that no other site signs anybody in; what it sends leads to the provider."""
    adapter = _adapter(request, slug)
    try:
        answer = OAuth2LoginView.adapter_view(adapter)(request)
    except (RequestException, OAuth2Error) as error:  # allauth expects the provider to answer
        return render_authentication_error(request, adapter.get_provider(), exception=error)
    return _led_on(request, answer) if answer.status_code == 302 else answer


def _led_on(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    """A page that goes on by itself to where a redirect leads: Chromium lets a form's answer redirect to no other site, nor from
    there to a third, than our policy for forms names (`form-action`, https://www.w3.org/TR/CSP3/#directive-form-action)."""
    there = answer["Location"]
    page = render(request, "socialaccount/led_on.html", {"there": there, "site": urlsplit(there).hostname})
    page["Refresh"] = f"0; url={there}"
    page["Cache-Control"], page["Referrer-Policy"] = "no-store", "no-referrer"
    return page


@login_not_required
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    """Back from the provider."""
    return OAuth2CallbackView.adapter_view(_adapter(request, slug))(request)


def _adapter(request: HttpRequest, slug: str) -> OidcAdapter:
    connection = rules.by_slug(slug)
    if connection is None:
        raise Http404
    return OidcAdapter(request, str(connection.pk))
