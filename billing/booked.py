"""What admin's pages of money share: rows that a verb writes and nothing changes afterwards."""
from decimal import Decimal
from typing import ClassVar

from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from billing.forms import OfVerb
from billing.templatetags.money import exact
from portal.kernel.admin import ReadOnlyAdmin


def amount_column(name: str, label: object):
    """A column: an amount of the row, in its currency."""
    @display(description=label, ordering=name)
    def column(_admin: object, row: object) -> str:
        return money_text(getattr(row, name), row.currency)
    return column


def money_text(amount: Decimal, currency: str) -> str:
    """`1,234.56 CNY`: with separators, and all of its digits, since books are compared."""
    return f"{exact(amount, 2)} {currency}"


class Booked(ReadOnlyAdmin):
    """Rows that a verb writes and nothing changes; `new_form` asks for what the verb takes."""

    new_form: ClassVar[type[OfVerb]]
    shown: ClassVar[tuple[str, ...]]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: object):
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form = super().get_form(request, obj, change, **{**kwargs, "form": self.new_form})
        if "received_at" in form.base_fields:
            form.base_fields["received_at"].widget = UnfoldAdminSplitDateTimeWidget()
        return type("FormOfActor", (form,), {"actor": request.user})

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return list(self.shown if obj is not None else self.new_form.base_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.shown if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Model, form, change: bool) -> None:
        """The form's verb wrote it."""


class Versions(Booked):
    """Rows are history: a change is a new version, from one moment on."""

    @display(description=_("valid from"), ordering="valid__startswith")
    def valid_from(self, row: Model):
        return row.valid.lower

    @display(description=_("valid until"), ordering="valid__endswith")
    def valid_until(self, row: Model):
        return row.valid.upper
