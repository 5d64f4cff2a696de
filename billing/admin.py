"""Operators' view of money: books are edited, prices get new versions, usage is read only."""
from datetime import datetime
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from billing import budget_admin, collection_admin, export_admin, invoice_admin, mail_admin
from billing.booked import Booked, Versions, amount_column
from billing.forms import NewCreditForm, NewOutageForm, NewPriceForm, NewTermsForm
from billing.models import Counter, CounterSample, Credit, Outage, Price, PriceBook, PriceTier, Terms, UsageInterval
from billing.prices import unpriced
from portal.kernel.admin import CatalogueAdmin, ReadOnlyAdmin
from portal.kernel.admin.columns import MeterFilter
from portal.kernel.declarations import registry
from portal.kernel.remembered import remembered
from portal.kernel.states import database_now

__all__ = ["budget_admin", "collection_admin", "export_admin", "invoice_admin", "mail_admin"]
# Django looks for this module alone.


def meter_text(name: str) -> str:
    declared = registry.meters.get(name)
    return str(declared.label) if declared else name


@admin.register(PriceBook)
class PriceBookAdmin(CatalogueAdmin):
    list_display = ("name", "currency", "is_default", "is_cost")
    list_filter = ("is_default", "is_cost")
    search_fields = ("name",)
    actions_row = ("under_it",)

    @action(description=_("A month under this book"), url_path="under-it")
    def under_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:billing_preview')}?{urlencode({'book': object_id})}")

    def get_readonly_fields(self, request: HttpRequest, obj: PriceBook | None = None) -> tuple[str, ...]:
        # Prices are numbers in the book's currency: it cannot change under them.
        return ("currency",) if obj is not None and obj.prices.exists() else ()


class TierInline(TabularInline):
    """Of a price that exists; the form of a new one asks for them."""

    model, extra, can_delete, max_num = PriceTier, 0, False, 0
    fields = readonly_fields = ("from_quantity", "price_per_hour")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Who sees the price sees its tiers."""
        return True


@admin.register(Price)
class PriceAdmin(Versions):
    """Whoever may add prices by Django's permissions does."""

    list_display = ("meter_word", "sku", "region", "price", "book", "valid_from", "valid_until")
    list_filter = (("book", RelatedDropdownFilter), ("region", RelatedDropdownFilter), MeterFilter)
    list_select_related = ("book", "region")
    search_fields = ("sku", "meter")
    ordering = ("meter", "sku", "region", "-valid")
    actions_row = ("new_version",)
    inlines = (TierInline,)
    new_form, shown = NewPriceForm, (
        "book", "region", "meter", "sku", "price_per_hour", "granularity_s", "minimum_s", "valid_from", "valid_until")

    def get_inlines(self, request: HttpRequest, obj: Price | None) -> tuple[type[TabularInline], ...]:
        return self.inlines if obj is not None else ()

    def name_of(self, row: Price) -> str:
        return f"{meter_text(row.meter)} {row.sku} – {row.region}"

    @display(description=_("meter"), ordering="meter")
    def meter_word(self, price: Price) -> str:
        return meter_text(price.meter)

    @display(description=_("price per hour"), ordering="price_per_hour")
    def price(self, price: Price) -> str:
        return f"{price.price_per_hour.normalize():f} {price.book.currency}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return ModelAdmin.has_add_permission(self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        if request.method == "GET":
            for region, meter, sku in remembered("unpriced", lambda: unpriced(database_now())):
                messages.warning(request, _("In use without a price: %(meter)s of “%(sku)s” in %(region)s.")
                                 % {"meter": meter, "sku": sku, "region": region})
        return super().changelist_view(request, extra_context)

    @action(description=_("New version"), url_path="new-version")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        price = get_object_or_404(Price, pk=object_id)
        tiers = "\n".join(f"{tier.from_quantity.normalize():f} {tier.price_per_hour.normalize():f}" for tier in price.tiers.all())
        known = {"book": price.book_id, "region": price.region_id, "meter": price.meter, "sku": price.sku,
                 "granularity_s": price.granularity_s, "minimum_s": price.minimum_s, "tiers": tiers}
        return redirect(f"{reverse('admin:billing_price_add')}?{urlencode(known)}")


@admin.register(Credit)
class CreditAdmin(Booked):
    """Granted once, then only read."""

    list_display = ("organization", "amount_text", "reason", "granted_by", "created_at", "expires_at")
    list_filter = ("currency",)
    list_select_related = ("organization", "granted_by")
    search_fields = ("organization__name", "reason")
    identifiers = ("pk", "organization_id")
    autocomplete_fields = ("organization",)
    ordering = ("-created_at",)
    new_form, shown = NewCreditForm, (
        "organization", "amount_text", "reason", "expires_at", "meters", "region", "granted_by", "created_at")
    amount_text = amount_column("amount", _("amount"))


@admin.register(Terms)
class TermsAdmin(Versions):
    list_display = ("organization", "book", "discount_percent", "valid_from", "valid_until")
    list_filter = (("book", RelatedDropdownFilter), ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization", "book")
    search_fields = ("organization__name",)
    identifiers = ("pk", "organization_id")
    autocomplete_fields = ("organization",)
    ordering = ("organization", "-valid")
    new_form, shown = NewTermsForm, ("organization", "book", "discount_percent", "valid_from", "valid_until")

    actions_row = ("under_it",)

    @action(description=_("A month under this book"), url_path="under-it")
    def under_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        terms = get_object_or_404(Terms, pk=object_id)
        asked = {"book": terms.book_id, "organization": terms.organization_id}
        return redirect(f"{reverse('admin:billing_preview')}?{urlencode({name: pk for name, pk in asked.items() if pk})}")

    def name_of(self, row: Terms) -> str:
        return f"{row.organization} – {row.discount_percent} %"


@admin.register(Outage)
class OutageAdmin(Booked):
    """Recorded once, then only read."""

    list_display = ("resource", "start", "end", "reason", "recorded_by", "created_at")
    list_filter = (("recorded_by", AutocompleteSelectFilter),)
    list_select_related = ("resource", "recorded_by")
    search_fields = ("resource__name", "reason")
    identifiers = ("pk", "resource_id")
    autocomplete_fields = ("resource",)
    ordering = ("-created_at",)
    new_form, shown = NewOutageForm, ("resource", "start", "end", "meters", "reason", "recorded_by", "created_at")

    @display(description=_("start"), ordering="period__startswith")
    def start(self, outage: Outage):
        return outage.period.lower

    @display(description=_("end"), ordering="period__endswith")
    def end(self, outage: Outage):
        return outage.period.upper


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


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    """Written by what takes samples."""

    list_display = ("resource", "meter_word", "sku", "epoch", "value", "sampled_at", "project", "region")
    list_filter = (MeterFilter, ("region", RelatedDropdownFilter), ("project", AutocompleteSelectFilter))
    list_select_related = ("resource", "project", "region")
    search_fields = ("resource__name", "sku")
    identifiers = ("resource_id",)
    ordering = ("-pk",)
    fields = readonly_fields = ("resource", "project", "region", "meter_word", "sku", "epoch", "value", "sampled_at")

    @display(description=_("meter"), ordering="meter")
    def meter_word(self, counter: Counter) -> str:
        return meter_text(counter.meter)

    def name_of(self, row: Counter) -> str:
        return f"{meter_text(row.meter)} – {row.resource}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Counter]:
        latest = CounterSample.objects.filter(counter=OuterRef("pk")).order_by("-at")
        return super().get_queryset(request).annotate(
            last_value=Subquery(latest.values("value")[:1]), last_at=Subquery(latest.values("at")[:1]))

    @display(description=_("value"))
    def value(self, counter: Counter) -> int | None:
        return counter.last_value

    @display(description=_("sampled at"))
    def sampled_at(self, counter: Counter) -> datetime | None:
        return counter.last_at
