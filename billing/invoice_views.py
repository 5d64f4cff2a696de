"""Pages on bills: how the account stands, invoices with every charge explained, payments, how to be billed.

Bills are of a whole organization, so only who holds `invoice.view` in all of it sees them.
"""
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing import outbox
from billing.documents import as_file, invoice_pdf
from billing.invoice_forms import ProfileForm, initial
from billing.invoice_lists import ChargeList, InvoiceList, LineList, PaymentList, ShownLine, meter_label
from billing.invoice_queries import MOST_OFFERED, Standings, billed, settled_by, standings
from billing.models import Invoice, InvoiceMail
from billing.profiles import profile_of, set_profile
from portal.kernel.pages import acted
from portal.kernel.states import CLOCK
from tenants.access import fetch
from tenants.models import Organization
from tenants.pages import page
from tenants.scope import current_project

VIEW, MANAGE = "invoice.view", "billing.manage"
MOST_MAILS = 3
MAILED = ArraySubquery(InvoiceMail.objects.filter(invoice=OuterRef("pk")).order_by("-created_at", "pk").values(
    json=JSONObject(**{name: name for name in ("address", "state", "error", "created_at")}))[:MOST_MAILS])


@page(VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """How one organization's account stands: `?organization=`, else the one of the project that is looked at, else the first."""
    rows, asked = billed(request.user).annotate(now=CLOCK), request.GET.get("organization")
    offered = list(rows[:MOST_OFFERED])
    if asked is not None:
        chosen = fetch(request.user, rows, VIEW, pk=asked)
    else:
        project = current_project(request)
        known = {one.pk: one for one in offered}
        chosen = project and (known.get(project.organization_id)
                              or rows.filter(pk=project.organization_id).first())
        chosen = chosen or next(iter(offered), None)
    context: dict[str, object] = {"others": [one for one in offered if one != chosen]}
    if chosen is not None:
        account = Standings(organization=chosen, user=request.user, now=chosen.now)
        context |= {"account": account, "balances": account.credits, "dunning": account.dunning, "profile": account.profile,
                    "may_manage": _may_manage(request, chosen)}
    return render(request, "billing/overview.html", context)


def _may_manage(request: HttpRequest, organization: Organization) -> bool:
    """Operators are offered what needs an emergency access, and told of that when they press it."""
    grants = request.user.grants
    return grants.sees_everything or grants.may_in_organization(MANAGE, organization.pk)


@page(MANAGE, methods=("GET", "POST"))
def profile(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How the organization wants to be billed."""
    organization = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    back = f"{reverse('balance:page')}?organization={pk}"
    if request.method == "POST":
        form = ProfileForm(request.POST)
        if form.carried_out(lambda: set_profile(organization, actor=request.user, **form.cleaned_data)):
            return acted(request, _("Saved."), back)
    else:
        form = ProfileForm(initial=initial(profile_of(organization)))
    return render(request, "billing/profile.html", {"form": form, "organization": organization, "back": back},
                  status=form.status)


@page(VIEW)
def invoices(request: HttpRequest) -> HttpResponse:
    return InvoiceList(request).answer()


@page(VIEW)
def payments(request: HttpRequest) -> HttpResponse:
    return PaymentList(request).answer()


def _invoice(request: HttpRequest, pk: UUID, **more: Any) -> Invoice:
    """With the time as `now`, and whatever more is asked of it in the same statement."""
    rows = Invoice.objects.select_related("organization", "corrects").annotate(now=CLOCK, **more)
    return fetch(request.user, rows, VIEW, pk=pk)


def _mail(address: str, state: str, error: str, created_at: str) -> InvoiceMail:
    return InvoiceMail(address=address, state=state, error=error, created_at=datetime.fromisoformat(created_at))


@page(VIEW)
def invoice(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The invoice with its lines, what took something off it, and its credit notes."""
    found = _invoice(request, pk, mailed=MAILED)
    standing, *notes = standings([found, *found.credit_notes.order_by("issued_at", "pk")], now=found.now)
    return LineList(request, standing).answer(
        standing=standing, invoice=found, settled=settled_by(found), back=reverse("invoices:list"), notes=notes,
        mails=[_mail(**one) for one in found.mailed], may_manage=_may_manage(request, found.organization))


@page(MANAGE, methods=("POST",))
def send(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Mail the invoice again."""
    found = fetch(request.user, Invoice.objects.select_related("organization"), MANAGE, pk=pk)
    mail = outbox.send_again(found, actor=request.user)
    return acted(request, _("It is on its way to %(address)s.") % {"address": mail.address},
                 reverse("invoices:detail", args=[pk]), leave=True)


@page(VIEW)
def charges(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A line explained: every charge in it, to the last digit; all charges of the invoice without `?line=`."""
    found = _invoice(request, pk)
    shown = ChargeList(request, found)
    [standing] = standings([found])
    line = shown.line and ShownLine(line=shown.line, currency=found.currency, sign=standing.sign)
    return shown.answer(invoice=found, line=line, crumbs=[(found.number, reverse("invoices:detail", args=[pk]))],
                        meter=line and meter_label(line.line.meter))


@page(VIEW)
def pdf(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _invoice(request, pk)
    return as_file(found, invoice_pdf(found))
