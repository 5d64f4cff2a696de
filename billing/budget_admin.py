"""Operators' view of budgets, which tenants make and admin only reads, and of vouchers, whose code is told once."""
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from billing import vouchers
from billing.booked import Booked, amount_column
from billing.budget_forms import NewVoucherForm
from billing.models import Budget, BudgetAlarm, Voucher, VoucherUse
from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act


@admin.register(Budget)
class BudgetAdmin(ReadOnlyAdmin):
    """Made by tenants. Deleted ones stay, for their alarms."""

    list_display = ("name", "organization", "project", "tag", "amount_text", "spent_text", "forecast_text", "counted_at",
                    "deleted_at")
    list_filter = (("organization", AutocompleteSelectFilter), "currency")
    list_select_related = ("organization", "project")
    search_fields = ("name", "organization__name")
    identifiers = ("pk", "organization_id", "project_id")
    ordering = ("name", "pk")
    fields = readonly_fields = ("name", "organization", "project", "tag", "amount_text", "thresholds", "month", "spent_text",
                                "forecast_text", "counted_at", "created_at", "updated_at", "deleted_at")
    amount_text = amount_column("amount", _("amount a month"))
    spent_text, forecast_text = amount_column("spent", _("spent")), amount_column("forecast", _("forecast"))

    @display(description=_("tag"))
    def tag(self, budget: Budget) -> str:
        return f"{budget.tag_key}={budget.tag_value}" if budget.tag_key else ""


@admin.register(BudgetAlarm)
class BudgetAlarmAdmin(ReadOnlyAdmin):
    """Written when a threshold is reached."""

    list_display = ("at", "budget", "percent", "basis", "what", "spent_text", "forecast_text", "amount_text")
    list_filter = ("basis",)
    list_select_related = ("budget",)
    search_fields = ("budget__name", "budget__organization__name")
    identifiers = ("budget_id",)
    ordering = ("-at", "-pk")
    fields = readonly_fields = ("budget", "percent", "basis", "what", "since", "until", "spent_text", "forecast_text",
                                "amount_text", "at")
    amount_text = amount_column("amount", _("amount a month"))
    spent_text, forecast_text = amount_column("spent", _("spent")), amount_column("forecast", _("forecast"))

    @display(description=_("actions"))
    def what(self, alarm: BudgetAlarm) -> str:
        return ", ".join(str(Budget.Action(one).label) for one in alarm.actions)


@admin.register(Voucher)
class VoucherAdmin(Booked):
    """Made once, its code told once; withdrawn, nobody redeems it any more."""

    actions = ("withdraw",)
    list_display = ("hint", "amount_text", "reason", "used", "most_uses", "valid_from", "valid_until", "withdrawn_at")
    list_filter = ("currency",)
    list_select_related = ("region",)
    search_fields = ("hint", "reason")
    ordering = ("-created_at",)
    new_form, shown = NewVoucherForm, (
        "hint", "amount_text", "reason", "used", "most_uses", "valid_from", "valid_until", "lifetime_days", "meters", "region",
        "made_by", "created_at", "withdrawn_at")
    amount_text = amount_column("amount", _("amount"))

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).prefetch_related("uses")

    @display(description=_("redeemed"))
    def used(self, voucher: Voucher) -> int:
        return len(voucher.uses.all())

    @act(_("Withdraw"), confirm=_("Nobody redeems it any more; credit that it gave stays."),
         why_not=lambda row: ALREADY if row.withdrawn_at else "")
    def withdraw(self, row: Voucher, actor) -> None:
        vouchers.withdraw(row, actor=actor)

    def save_form(self, request: HttpRequest, form: NewVoucherForm, change: bool) -> Voucher:
        request.voucher_code = form.code
        return super().save_form(request, form, change)

    def response_add(self, request: HttpRequest, obj: Voucher, post_url_continue: str | None = None) -> HttpResponse:
        """The code is on this answer only, which nobody keeps."""
        response = TemplateResponse(request, "admin/billing/voucher_made.html", {
            **self.admin_site.each_context(request), "title": _("Voucher"), "opts": self.opts, "voucher": obj,
            "code": request.voucher_code})
        response["Cache-Control"] = "no-store"
        return response


@admin.register(VoucherUse)
class VoucherUseAdmin(ReadOnlyAdmin):
    """Written when a voucher is redeemed."""

    list_display = ("used_at", "voucher", "organization", "credit", "used_by")
    list_filter = (("organization", AutocompleteSelectFilter),)
    list_select_related = ("voucher", "organization", "credit", "used_by")
    search_fields = ("organization__name", "voucher__hint", "voucher__reason")
    identifiers = ("voucher_id", "organization_id", "credit_id")
    ordering = ("-used_at", "-pk")
    fields = readonly_fields = ("voucher", "organization", "credit", "used_by", "used_at")
