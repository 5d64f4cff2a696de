"""Admin's first page: what is wrong now, then how full the cloud is. Each part only for those who may look at its rows."""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import ExpressionWrapper, F, FloatField, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.models import ClosingFailure
from compute.hosts.models import Claim, Host
from compute.network.models import AddressPool, Fabric
from portal.admin.explained import step_word
from portal.admin.sidebar import may_see
from portal.kernel.admin.columns import operation_kind, size_text
from portal.kernel.models import AuditChain, Operation
from portal.kernel.remembered import remembered
from portal.queries import needing_a_person
from portal.templatetags.ui import dimension_label, error_text
from storage.models import Pool
from tenants.models import QuotaRequest

SHOWN = 6
NEARLY = 0.85


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that somebody should look at."""

    title: str
    text: str
    url: str
    tone: str = "danger"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """So much of so much."""

    label: str
    value: str
    share: int | None
    url: str

    @property
    def is_tight(self) -> bool:
        return self.share is not None and self.share >= NEARLY * 100


def context(request: HttpRequest, shown: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback: the page's context with the board."""
    return shown | {"problems": list(problems(request)), "figures": list(figures(request)), "title": _("Overview")}


def problems(request: HttpRequest) -> Iterable[Problem]:
    """The most pressing first."""
    for model, find in ((AuditChain, _broken_chains), (Operation, _stuck), (Host, _hosts), (Fabric, _fabrics),
                        (ClosingFailure, _closing), (AddressPool, _address_pools), (Pool, _pools),
                        (QuotaRequest, _quota_requests)):
        if may_see(request, model):
            yield from find()


def _page(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _broken_chains() -> Iterable[Problem]:
    """Nothing is more pressing: somebody who reached the database hides something."""
    for row in AuditChain.objects.exclude(fault="").select_related("organization")[:SHOWN]:
        whose = row.organization.name if row.organization else _("the site")
        at = _("First at number %(number)s.") % {"number": row.fault_sequence} if row.fault_sequence is not None else ""
        yield Problem(title=_("The audit trail of %(whose)s is broken") % {"whose": whose}, url=_page(row),
                      text=" ".join(part for part in (f"{row.get_fault_display()}.", at) if part))


def _stuck() -> Iterable[Problem]:
    for row in needing_a_person().select_related("target")[:SHOWN]:
        name = f"{operation_kind(row.kind)} · {row.target.name}" if row.target else operation_kind(row.kind)
        step = step_word(row, row.step_name) if row.step_name else ""
        yield Problem(title=_("Needs a person: %(operation)s") % {"operation": name}, url=_page(row),
                      text=" – ".join(part for part in (step, error_text(row.error)) if part) or _("It is past its deadline."))


def _quota_requests() -> Iterable[Problem]:
    """Of organizations: those for projects are their own people's."""
    for row in QuotaRequest.objects.open().filter(project=None).select_related("organization").order_by("created_at")[:SHOWN]:
        yield Problem(title=_("%(organization)s asks for a higher limit") % {"organization": row.organization.name},
                      text=f"{dimension_label(row.dimension)}: {row.wanted} – {row.reason}", url=_page(row))


def _hosts() -> Iterable[Problem]:
    ill = Q(state=Host.State.ERROR) | (Q(health=Host.Health.UNREACHABLE) & ~Q(state=Host.State.PREPARING))
    for row in Host.objects.filter(ill).order_by("name")[:SHOWN]:
        word = row.get_state_display() if row.state == Host.State.ERROR else row.get_health_display()
        yield Problem(title=_("Host %(name)s: %(state)s") % {"name": row.name, "state": word},
                      text=row.state_reason or row.health_text, url=_page(row))


def _fabrics() -> Iterable[Problem]:
    for row in Fabric.objects.filter(health=Fabric.Health.UNREACHABLE).select_related("region")[:SHOWN]:
        yield Problem(title=_("The network of %(region)s does not answer") % {"region": row.region.name},
                      text=row.health_reason, url=_page(row))


def _closing() -> Iterable[Problem]:
    for row in ClosingFailure.objects.select_related("organization").order_by("-last_at")[:SHOWN]:
        yield Problem(title=_("%(month)s of %(organization)s could not be closed") % {
            "month": row.month, "organization": row.organization.name}, text=row.error, url=_page(row))


def _address_pools() -> Iterable[Problem]:
    for row in AddressPool.objects.filter(is_open=True).with_use():
        if row.used >= NEARLY * row.size:
            title = _("Public network %(name)s is nearly used up") % {"name": row.name}
            yield Problem(title=title, url=_page(row), tone="warning",
                          text=_("%(used)s of %(size)s addresses are in use.") % {"used": row.used, "size": row.size})


def _pools() -> Iterable[Problem]:
    free = ExpressionWrapper(F("available") * 1.0 / F("capacity"), output_field=FloatField())
    rows = Pool.objects.filter(capacity__gt=0).annotate(free=free).filter(free__lt=1 - NEARLY).select_related("host")
    for row in rows.order_by("free")[:SHOWN]:
        yield Problem(title=_("Pool %(name)s on %(host)s is nearly full") % {"name": row.name, "host": row.host.name},
                      text=_("%(free)s of %(all)s are free.") % {
                          "free": size_text(row.available), "all": size_text(row.capacity)}, url=_page(row), tone="warning")


def figures(request: HttpRequest) -> Iterable[Figure]:
    """How much there is, and how much of it is taken."""
    if may_see(request, Host):
        yield from _capacity()
    if may_see(request, Pool):
        yield _room()


def _capacity() -> Iterable[Figure]:
    hosts = list(Host.objects.only("vcpus", "vcpu_ratio", "memory_mib", "reserved_memory_mib", "state", "health"))
    ready = [host for host in hosts if host.state == Host.State.READY]
    up = sum(host.health == Host.Health.UP for host in ready)
    url = reverse("admin:hosts_host_changelist")
    yield Figure(label=_("Hosts up"), value=f"{up} / {len(hosts)}", share=None, url=url)
    claimed = remembered("claimed", _claimed, least_s=60)
    there = {name: sum(host.capacity[name] for host in ready) for name in ("vcpu", "memory_mib")}
    yield _figure(_("vCPUs claimed"), claimed.get("vcpu", 0), there["vcpu"], str, url)
    yield _figure(_("Memory claimed"), claimed.get("memory_mib", 0) * 2**20, there["memory_mib"] * 2**20, size_text, url)


def _claimed() -> dict[str, int]:
    return dict(Claim.objects.values("resource_class").annotate(total=Sum("amount")).order_by().values_list(
        "resource_class", "total"))


def _room() -> Figure:
    sums = remembered("room", _space, least_s=60)
    capacity, available = sums["capacity"] or 0, sums["available"] or 0
    return _figure(_("Space used in pools"), capacity - available, capacity, size_text, reverse("admin:storage_pool_changelist"))


def _space() -> dict[str, int | None]:
    return Pool.objects.aggregate(capacity=Sum("capacity"), available=Sum("available"))


def _figure(label: str, used: int, there: int, words: Any, url: str) -> Figure:
    share = round(100 * used / there) if there else None
    return Figure(label=label, value=f"{words(used)} / {words(there)}", share=share, url=url)
