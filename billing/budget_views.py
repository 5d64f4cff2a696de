"""Pages of budgets, and the one on which a voucher is redeemed."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing import budgets, vouchers
from billing.budget_forms import BudgetForm, ChangeBudgetForm, VoucherForm
from billing.budget_lists import BudgetList, Standing, alarms_of, shown, thresholds
from billing.models import Budget
from portal.kernel.errors import TooManyRequests
from portal.kernel.pages import acted, note_refusal
from portal.kernel.states import CLOCK
from tenants.access import fetch, require
from tenants.models import Organization, Project
from tenants.pages import page
from tenants.scope import current_project

VIEW, MANAGE = "usage.view", "budget.manage"


def _budget(request: HttpRequest, permission: str, pk: UUID) -> Budget:
    """With the time as `now`."""
    rows = Budget.objects.select_related("organization", "project").annotate(now=CLOCK)
    return fetch(request.user, rows, permission, pk=pk)


def _page_of(budget: Budget) -> str:
    return reverse("budgets:detail", args=[budget.pk])


@page(VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    return BudgetList(request).answer()


@page(VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is spent and to be expected, the thresholds, and what was reached."""
    budget = _budget(request, VIEW, pk)
    alarms = alarms_of(budget)
    return render(request, "billing/budget.html", {
        "budget": budget, "standing": Standing(budget=budget), "thresholds": thresholds(budget, alarms, budget.now),
        "alarms": shown(alarms), "may_manage": request.user.grants.allows(MANAGE, budget)})


@page(MANAGE, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    form = BudgetForm(request.POST or None, user=request.user, project=current_project(request),
                      no_stop=budgets.stopping.why_not(request.user))

    def make() -> Budget:
        place = form.cleaned_data.pop("where")
        require(request.user, MANAGE, place)
        project = place if isinstance(place, Project) else None
        return budgets.create_budget(project.organization if project else place, project=project, actor=request.user,
                                     **form.cleaned_data)

    if request.method == "POST" and form.carried_out(make):
        return acted(request, _("The budget was made. Its spending is counted within a minute."), _page_of(form.made), leave=True)
    return _form(request, form, title=_("Create budget"), back=reverse("budgets:list"))


@page(MANAGE, methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    budget = _budget(request, MANAGE, pk)
    form = ChangeBudgetForm(
        request.POST or None, thresholds=budget.thresholds, initial={
            "name": budget.name, "amount": budget.amount, "currency": budget.currency},
        no_stop=budgets.stopping.why_not(request.user, budget.project or budget.organization))

    if request.method == "POST" and form.carried_out(
            lambda: budgets.change_budget(budget, actor=request.user, **form.cleaned_data)):
        return acted(request, _("The budget was changed."), _page_of(budget), leave=True)
    return _form(request, form, title=_("Change budget"), back=_page_of(budget), action=_("Save"))


def _form(request: HttpRequest, form: ChangeBudgetForm, *, title: str, back: str, action: str = "") -> HttpResponse:
    return render(request, "billing/budget_form.html", {"form": form, "title": title, "back": back, "action": action or title},
                  status=form.status)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    budget = _budget(request, MANAGE, pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "action": request.path, "back": _page_of(budget), "yes": _("Delete"),
            "title": _("Delete the budget “%(name)s”?") % {"name": budget.name},
            "text": _("Nothing is watched, refused or stopped by it any more.")})
    budgets.delete_budget(budget, actor=request.user)
    return acted(request, _("The budget was deleted."), reverse("budgets:list"), leave=True)


@page("billing.manage", methods=("GET", "POST"))
def voucher(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Redeem a voucher for the organization."""
    organization = fetch(request.user, Organization.objects, "billing.manage", pk=pk)
    back = f"{reverse('balance:page')}?organization={pk}"
    form = VoucherForm(request.POST or None)
    try:
        if request.method == "POST" and form.carried_out(
                lambda: vouchers.redeem(organization, form.cleaned_data["code"], actor=request.user)):
            return acted(request, _("The voucher was redeemed: its credit is there."), back)
    except vouchers.VoucherRefused as error:
        note_refusal(request, error)
        form.add_error("code", str(error.text))
    except TooManyRequests as error:
        form.add_error("code", error.detail)
    return render(request, "billing/voucher.html", {"form": form, "organization": organization, "back": back},
                  status=form.status)
