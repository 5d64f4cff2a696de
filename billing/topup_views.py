"""Pages on which an organization pays in advance: how much, the provider's page, and back.

What was paid is booked by the provider's word alone (`providers`), once however often a browser comes back or the provider says
it again. The simulated provider's page is here too; it answers nothing where another one takes part.
"""
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from billing import credit, issuing, providers
from billing.collection_forms import TopUpForm
from billing.money import Money
from billing.providers import UNKNOWN, Simulated
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.models import Organization
from tenants.pages import page

MANAGE = "billing.manage"


def begin(request: HttpRequest, organization: Organization, amount: Decimal) -> str:
    """Where the customer goes to pay so much. Raises NotFound without a provider, and InvalidInput."""
    back = request.build_absolute_uri(reverse("balance:paid", args=[organization.pk]))
    return providers.provider().start(organization, amount, credit.currency_of(organization, None), back)


def reference_of(organization: Organization) -> str:
    """What operators find an organization by when money comes by bank."""
    return f"MAINS-{organization.pk.hex[:12].upper()}"


@page(MANAGE, methods=("GET", "POST"))
def top_up(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How much is paid in advance; or, without a provider, to which bank."""
    organization = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    form = TopUpForm(request.POST if request.method == "POST" else None)
    url = ""
    if request.method == "POST" and providers.is_there():
        if form.carried_out(lambda: begin(request, organization, **form.cleaned_data)):
            url = form.made
        if url and urlsplit(url).netloc in ("", request.get_host()):
            return redirect(url)
    # What is sent by a form may not be led to another site (CSP): there a link leads.
    return render(request, "billing/topup.html", {
        "form": form, "url": url, "organization": organization, "issuer": issuing.issuer(),
        "reference": reference_of(organization), "has_provider": providers.is_there(),
        "currency": credit.currency_of(organization, None),
        "back": f"{reverse('balance:page')}?organization={pk}"}, status=form.status)


@page(MANAGE)
def paid(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Where the provider leads the browser back to, paid or not."""
    organization = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    if "token" not in request.GET or not providers.is_there():
        messages.warning(request, _("Nothing was paid."))
        return redirect("balance:top-up", pk)
    payment = providers.provider().confirm(request, organization)
    return acted(request, _("%(amount)s was paid.") % {"amount": Money(payment.amount, payment.currency)},
                 f"{reverse('balance:page')}?organization={pk}")


@csrf_exempt  # the provider has no session here: what it sends is proved by itself
@page(public=True, methods=("POST",))
def told(request: HttpRequest) -> HttpResponse:
    """The provider itself says that something was paid."""
    providers.provider().confirm(request)
    return HttpResponse(status=204)


@page(methods=("GET", "POST"))
def simulated(request: HttpRequest) -> HttpResponse:
    """The page of the simulated provider: pay, or not. What it asks for is signed; it leads back to where that says."""
    text = request.POST.get("order") or request.GET.get("order", "")
    try:
        if not (providers.is_there() and isinstance(providers.provider(), Simulated)):
            raise InvalidInput.field("order", UNKNOWN)
        amount, currency, back = Simulated().order(text)
    except InvalidInput:
        messages.error(request, UNKNOWN)
        return redirect("balance:page")
    if request.method == "POST":
        return redirect(Simulated().paid(text))
    return render(request, "billing/topup_simulated.html", {
        "amount": Money(amount, currency), "order": text, "cancel": back})
