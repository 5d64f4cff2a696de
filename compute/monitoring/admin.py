"""The newest pass over each host, to be looked at."""
from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from compute.monitoring.models import MeasuringPass
from portal.kernel.admin import ReadOnlyAdmin
from portal.kernel.states import CLOCK


@admin.register(MeasuringPass)
class MeasuringPassAdmin(ReadOnlyAdmin):
    list_display = ("host", "at", "age", "duration_ms", "domains", "passes", "failures", "told")
    list_filter = (("host__region", RelatedDropdownFilter),)
    search_fields = ("host__name", "fault")
    list_select_related = ("host",)
    ordering = ("at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MeasuringPass]:
        age = ExpressionWrapper(CLOCK - F("at"), output_field=DurationField())
        return super().get_queryset(request).annotate(old=age)

    @display(description=_("age (s)"), ordering="-at")
    def age(self, row: MeasuringPass) -> int:
        return round(row.old.total_seconds())

    @display(description=_("fault"), ordering="fault")
    def told(self, row: MeasuringPass) -> str:
        return row.fault_text or "–"
