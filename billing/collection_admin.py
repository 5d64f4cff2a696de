"""Operators' view of the ladder: who does not pay, how far that has come, and that it is held."""
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action

from billing.booked import Booked
from billing.collection_forms import HoldForm
from billing.models import Dunning, Rung
from portal.kernel.admin.columns import OneOf


class RungFilter(OneOf):
    title, parameter_name = _("rung"), "rung"

    @classmethod
    def words(cls) -> dict[str, object]:
        return dict(Rung.choices)

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, object]]:
        """From the ground up."""
        return list(Rung.choices)


@admin.register(Dunning)
class DunningAdmin(Booked):
    """Moved by the clock and by payments alone. What is added by hand is a hold: until then an organization climbs no further.
    On the last rung instances go to the recycle bin by themselves; what else shall go is deleted by hand."""

    actions_row = ("hold",)
    autocomplete_fields = ("organization",)
    list_display = ("organization", "rung", "cause", "began_at", "since", "next_at", "held_until")
    list_filter = (RungFilter, ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization",)
    search_fields = ("organization__name",)
    identifiers = ("pk",)
    ordering = ("-since", "organization")
    new_form, shown = HoldForm, ("organization", "rung", "cause", "began_at", "since", "next_at", "warned_hours", "held_until",
                                 "hold_reason")

    @action(description=_("Hold"), url_path="hold")
    def hold(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:billing_dunning_add')}?{urlencode({'organization': object_id})}")
