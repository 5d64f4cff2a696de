"""The price calculator: what an instance with its disk and address costs by the list, for everybody, signed in or not.

Its address says what was asked for, so that it can be sent to somebody. Shown unless the operator switched it off.
"""
from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from billing.calculator import Calculation, calculate
from billing.prices import HOURS_A_MONTH, NoPrice
from compute.instances.models import InstanceState, InstanceType
from compute.instances.sizes import Size
from compute.network.models import AddressPool, FloatingIp
from portal.kernel import requests
from portal.kernel.declarations import Reading
from portal.kernel.errors import NotFound, TooManyRequests
from portal.kernel.models import Region
from portal.kernel.pages import fragment
from portal.kernel.rest import rate
from portal.kernel.states import database_now
from storage.models import Volume
from tenants.pages import page

HOURS = {"hour": 1, "month": HOURS_A_MONTH}


class CalculatorForm(forms.Form):
    """What it is to cost. Every field has a value from the start."""

    region = forms.TypedChoiceField(label=_("Region"))
    type = forms.TypedChoiceField(label=_("Instance type"), required=False, empty_value=None)
    vcpus = forms.IntegerField(label=_("vCPUs of a custom type"), required=False, min_value=1, max_value=4096)
    memory_mib = forms.IntegerField(label=_("Memory of a custom type (MiB)"), required=False, min_value=1, max_value=64 * 1024**2)
    disk = forms.IntegerField(label=_("Disk (GiB)"), min_value=0, max_value=65_536)
    addresses = forms.IntegerField(label=_("Floating IPs"), min_value=0, max_value=100)
    count = forms.IntegerField(label=_("How many"), min_value=1, max_value=10_000)
    duration = forms.IntegerField(label=_("For how long"), min_value=1, max_value=100_000)
    unit = forms.ChoiceField(label=_("Hours or months"), choices=[("month", _("months of 730 hours")), ("hour", _("hours"))])

    def __init__(self, asked: Any) -> None:
        regions = {one.slug: one for one in Region.objects.filter(is_open=True).order_by("name", "pk")}
        types = {one.slug: one for one in InstanceType.objects.offered_to()}
        gone = set() if any(one.is_custom for one in types.values()) else {"vcpus", "memory_mib"}
        usual = {"region": next(iter(regions), ""), "type": next(iter(types), ""), "disk": "20", "addresses": "0", "count": "1",
                 "duration": "1", "unit": "month", "vcpus": "", "memory_mib": ""}
        super().__init__({name: asked.get(name, value) for name, value in usual.items()})
        for name in gone:
            del self.fields[name]
        for name, rows, empty in (("region", regions, []), ("type", types, [("", _("No instance"))])):
            self.fields[name].choices = [*empty, *((slug, one.name) for slug, one in rows.items())]
            self.fields[name].coerce = rows.__getitem__

    def readings(self) -> Iterable[Reading]:
        """What each of them takes while it runs."""
        chosen = self.cleaned_data
        if chosen["type"]:
            of_size = {name: chosen.get(name) for name in ("vcpus", "memory_mib")} if chosen["type"].is_custom else {}
            size = Size.chosen(chosen["type"], **of_size)
            for name, texts in size.errors.items():
                self.add_error(name, texts)
            yield from size.readings(InstanceState.RUNNING)
        if chosen["disk"]:
            yield from Volume(size_gib=chosen["disk"]).readings(Volume.State.IN_USE)
        if chosen["addresses"]:
            pool = AddressPool.objects.filter(region=chosen["region"], is_open=True).order_by("name", "pk").first()
            if pool is None:
                self.add_error("addresses", _("This region has no public network."))
                return
            for one in FloatingIp(pool=pool).readings(FloatingIp.State.ATTACHED):
                yield Reading(meter=one.meter, sku=one.sku, quantity=one.quantity * chosen["addresses"])

    def calculation(self) -> Calculation | None:
        """None when something is wrong, which its fields say then, or when nothing is asked for."""
        if not self.is_valid():
            return None
        readings, chosen = list(self.readings()), self.cleaned_data
        if self.errors or not readings:
            return None
        try:
            return calculate(chosen["region"], readings, hours=chosen["duration"] * HOURS[chosen["unit"]],
                             count=chosen["count"], at=database_now())
        except NoPrice as error:
            self.add_error(None, error.detail)
            return None


@page(public=True)
def calculator(request: HttpRequest) -> HttpResponse:
    """`?region=&type=&disk=&addresses=&count=&duration=&unit=`; for htmx the sums only."""
    if not settings.PRICE_CALCULATOR:
        raise NotFound
    _count(request)
    form = CalculatorForm(request.GET)
    found = form.calculation()
    response = fragment(request, "billing/calculator.html", "billing/_calculation.html", form=form, calculation=found,
                        layout="base.html" if request.user.is_authenticated else "docs/public.html")
    # A part with a sentence about a mistake is shown where the sums are: it is no failure of the page.
    response.status_code = 200 if not form.errors or "HX-Request" in request.headers else 400
    return response


def _count(request: HttpRequest) -> None:
    """Strangers have no more of it in a minute than of the API. Raises TooManyRequests."""
    if request.user.is_authenticated:
        return
    allowance = rate.take(rate.of_stranger(requests.current().address))
    if allowance and allowance.is_used_up:
        raise TooManyRequests(retry_after=allowance.resets_in_s)
