"""Operators' view of money: books are edited, prices get new versions, usage is read only."""
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSplitDateTimeWidget

from billing.forms import NewPriceForm
from billing.models import Price, PriceBook, UsageInterval
from billing.prices import unpriced
from portal.kernel import audit
from portal.kernel.states import database_now


@admin.register(PriceBook)
class PriceBookAdmin(ModelAdmin):
    list_display = ("name", "currency", "is_default")
    search_fields = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: PriceBook | None = None) -> tuple[str, ...]:
        # Prices are numbers in the book's currency: it cannot change under them.
        return ("currency",) if obj is not None and obj.prices.exists() else ()

    def save_model(self, request: HttpRequest, obj: PriceBook, form, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record("pricebook.change" if change else "pricebook.create", obj, actor=request.user,
                     after={"name": obj.name, "currency": obj.currency, "is_default": obj.is_default})

    def has_delete_permission(self, request: HttpRequest, obj: PriceBook | None = None) -> bool:
        return False


@admin.register(Price)
class PriceAdmin(ModelAdmin):
    """Rows are history: a change is a new version."""

    list_display = ("meter", "sku", "region", "price_per_hour", "book", "valid_from", "valid_until")
    list_filter = ("book", "region", "meter")
    list_select_related = ("book", "region")
    search_fields = ("sku", "meter")
    ordering = ("meter", "sku", "region", "-valid")
    actions_row = ("new_version",)

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


@admin.register(UsageInterval)
class UsageIntervalAdmin(ModelAdmin):
    """Written by metering alone."""

    list_display = ("resource", "meter", "sku", "quantity", "period", "project", "region")
    list_filter = ("region", "meter")
    list_select_related = ("resource", "project", "region")
    search_fields = ("resource__name", "resource__id", "sku")
    ordering = ("-start",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageInterval | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageInterval | None = None) -> bool:
        return False
