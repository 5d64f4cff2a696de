"""Operators' view of money: books are edited, prices get new versions, usage is read only."""
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSplitDateTimeWidget

from billing.forms import NewCreditForm, NewPriceForm
from billing.models import Credit, Price, PriceBook, UsageInterval
from billing.prices import unpriced
from portal.kernel.admin import CatalogueAdmin, OperatorsActions, ReadOnlyAdmin
from portal.kernel.admin.columns import MeterFilter
from portal.kernel.declarations import registry
from portal.kernel.states import database_now


def meter_text(name: str) -> str:
    declared = registry.meters.get(name)
    return str(declared.label) if declared else name


@admin.register(PriceBook)
class PriceBookAdmin(CatalogueAdmin):
    list_display = ("name", "currency", "is_default")
    list_filter = ("is_default",)
    search_fields = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: PriceBook | None = None) -> tuple[str, ...]:
        # Prices are numbers in the book's currency: it cannot change under them.
        return ("currency",) if obj is not None and obj.prices.exists() else ()


@admin.register(Price)
class PriceAdmin(OperatorsActions):
    """Rows are history: a change is a new version."""

    list_display = ("meter_word", "sku", "region", "price", "book", "valid_from", "valid_until")
    list_filter = (("book", RelatedDropdownFilter), ("region", RelatedDropdownFilter), MeterFilter)
    list_select_related = ("book", "region")
    search_fields = ("sku", "meter")
    ordering = ("meter", "sku", "region", "-valid")
    actions_row = ("new_version",)

    def name_of(self, row: Price) -> str:
        return f"{meter_text(row.meter)} {row.sku} – {row.region}"

    @display(description=_("meter"), ordering="meter")
    def meter_word(self, price: Price) -> str:
        return meter_text(price.meter)

    @display(description=_("price per hour"), ordering="price_per_hour")
    def price(self, price: Price) -> str:
        return f"{price.price_per_hour.normalize():f} {price.book.currency}"

    @display(description=_("valid from"), ordering="valid__startswith")
    def valid_from(self, price: Price):
        return price.valid.lower

    @display(description=_("valid until"), ordering="valid__endswith")
    def valid_until(self, price: Price):
        return price.valid.upper

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Price | None = None, change: bool = False, **kwargs: object):
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form = super().get_form(request, obj, change, **{**kwargs, "form": NewPriceForm})
        form.base_fields["meter"].widget = UnfoldAdminSelectWidget(choices=form.base_fields["meter"].choices)
        form.base_fields["valid_from"].widget = UnfoldAdminSplitDateTimeWidget()
        return type("PriceFormOfActor", (form,), {"actor": request.user})

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None):
        fields = ["book", "region", "meter", "sku", "price_per_hour"]
        return [(None, {"fields": [*fields, "valid_from", *(["valid_until"] if obj else [])]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> tuple[str, ...]:
        return ("valid_from", "valid_until") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Price, form, change: bool) -> None:
        """The form's verb wrote it."""

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        if request.method == "GET":
            for region, meter, sku in unpriced(database_now()):
                messages.warning(request, _("In use without a price: %(meter)s of “%(sku)s” in %(region)s.")
                                 % {"meter": meter, "sku": sku, "region": region})
        return super().changelist_view(request, extra_context)

    @action(description=_("New version"), url_path="new-version")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        price = get_object_or_404(Price, pk=object_id)
        known = {"book": price.book_id, "region": price.region_id, "meter": price.meter, "sku": price.sku}
        return redirect(f"{reverse('admin:billing_price_add')}?{urlencode(known)}")


@admin.register(Credit)
class CreditAdmin(ReadOnlyAdmin):
    """Granted once, then only read."""

    list_display = ("organization", "amount", "currency", "reason", "granted_by", "created_at", "expires_at")
    list_filter = ("currency",)
    list_select_related = ("organization", "granted_by")
    search_fields = ("organization__name", "reason")
    identifiers = ("pk", "organization_id")
    autocomplete_fields = ("organization",)
    ordering = ("-created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def get_form(self, request: HttpRequest, obj: Credit | None = None, change: bool = False, **kwargs: object):
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form = super().get_form(request, obj, change, **{**kwargs, "form": NewCreditForm})
        return type("CreditFormOfActor", (form,), {"actor": request.user})

    def get_fields(self, request: HttpRequest, obj: Credit | None = None) -> list[str]:
        given = ["organization", "amount", "reason", "expires_at"]
        return given if obj is None else [*given, "currency", "granted_by", "created_at"]

    def save_model(self, request: HttpRequest, obj: Credit, form, change: bool) -> None:
        """The form's verb wrote it."""


@admin.register(UsageInterval)
class UsageIntervalAdmin(ReadOnlyAdmin):
    """Written by metering alone."""

    list_display = ("resource", "meter_word", "sku", "amount", "start", "end", "project", "region")
    list_filter = (MeterFilter, ("region", RelatedDropdownFilter), ("project", AutocompleteSelectFilter))
    list_select_related = ("resource", "project", "region")
    search_fields = ("resource__name", "sku")
    identifiers = ("pk", "resource_id")
    ordering = ("-start", "-id")
    fields = readonly_fields = ("resource", "project", "region", "meter_word", "sku", "amount", "start", "end")

    @display(description=_("meter"), ordering="meter")
    def meter_word(self, interval: UsageInterval) -> str:
        return meter_text(interval.meter)

    @display(description=_("quantity"), ordering="quantity")
    def amount(self, interval: UsageInterval) -> str:
        return f"{interval.quantity.normalize():f}"

    def name_of(self, row: UsageInterval) -> str:
        return f"{meter_text(row.meter)} – {row.resource}"

    @display(description=_("end"), empty_value=_("still running"))
    def end(self, interval: UsageInterval):
        return interval.period.upper
