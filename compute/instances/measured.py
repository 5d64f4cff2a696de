"""The tab of an instance's measurements: which time is shown, its charts, and their figures as a table."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.hosts.models import Host
from compute.instances.models import ON_SCREEN, Instance
from compute.monitoring.reading import Point, Question, read
from compute.monitoring.series import SAMPLE_S
from portal.kernel.admin.columns import size_text
from portal.kernel.states import database_now

# Name in the address → label, length, step of the line, step of the table (which is read, not looked at).
RANGES: Mapping[str, tuple[Any, timedelta, int, int]] = {
    "1h": (gettext_lazy("1 hour"), timedelta(hours=1), SAMPLE_S, 300),
    "6h": (gettext_lazy("6 hours"), timedelta(hours=6), 60, 1800),
    "1d": (gettext_lazy("1 day"), timedelta(days=1), 300, 3600),
    "7d": (gettext_lazy("7 days"), timedelta(days=7), 1800, 21600),
    "30d": (gettext_lazy("30 days"), timedelta(days=30), 10800, 86400),
}
USUAL = "1h"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart, by the name of its field in the API. What has a scale of its own is dashed, against the right."""

    field: str
    label: Any
    is_aside: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """`unit` is percent, bytes, or rate (bytes a second); lines aside count by the second."""

    name: str
    title: Any
    symbol: str
    unit: str
    lines: Sequence[Line]


CHARTS = (
    Chart(name="cpu", title=gettext_lazy("Processors"), symbol="cpu", unit="percent",
          lines=(Line(field="cpu_percent", label=gettext_lazy("Used of all vCPUs")),)),
    Chart(name="memory", title=gettext_lazy("Memory"), symbol="stack-2", unit="bytes", lines=(
        Line(field="memory_used_bytes", label=gettext_lazy("Used, as the guest says")),
        Line(field="memory_host_bytes", label=gettext_lazy("Held on the host")),
        Line(field="memory_bytes", label=gettext_lazy("Memory in all")))),
    Chart(name="disk", title=gettext_lazy("Disks"), symbol="database", unit="rate", lines=(
        Line(field="disk_read_bytes", label=gettext_lazy("Bytes read")),
        Line(field="disk_write_bytes", label=gettext_lazy("Bytes written")),
        Line(field="disk_reads", label=gettext_lazy("Reads/s"), is_aside=True),
        Line(field="disk_writes", label=gettext_lazy("Writes/s"), is_aside=True))),
    Chart(name="network", title=gettext_lazy("Network"), symbol="network", unit="rate", lines=(
        Line(field="network_received_bytes", label=gettext_lazy("Bytes received")),
        Line(field="network_sent_bytes", label=gettext_lazy("Bytes sent")),
        Line(field="network_received_packets", label=gettext_lazy("Packets received/s"), is_aside=True),
        Line(field="network_sent_packets", label=gettext_lazy("Packets sent/s"), is_aside=True))),
)


# The table: field, heading, and how a figure is told.
COLUMNS: Sequence[tuple[str, Any, Callable[[Any], str]]] = (
    ("cpu_percent", gettext_lazy("Processors"), lambda value: f"{number_format(round(value, 1))} %"),
    ("memory_used_bytes", gettext_lazy("Memory, used"), size_text),
    ("memory_host_bytes", gettext_lazy("Memory, on the host"), size_text),
    ("disk_read_bytes", gettext_lazy("Disks, read"), lambda value: f"{size_text(value)}/s"),
    ("disk_write_bytes", gettext_lazy("Disks, written"), lambda value: f"{size_text(value)}/s"),
    ("network_received_bytes", gettext_lazy("Network, received"), lambda value: f"{size_text(value)}/s"),
    ("network_sent_bytes", gettext_lazy("Network, sent"), lambda value: f"{size_text(value)}/s"),
)


def charts(instance: Instance, name: str) -> dict[str, Any]:
    """For `instances/_metrics.html`; a range of no such name is the usual one."""
    name = name if name in RANGES else USUAL
    _label, length, step_s, step_of_table_s = RANGES[name]
    now = database_now()
    points = read(instance.pk, Question(start=now - length, end=now, step_s=step_of_table_s))
    return {"ranges": [(key, row[0]) for key, row in RANGES.items()], "range": name, "length_s": int(length.total_seconds()),
            "step_s": step_s, "charts": CHARTS, "columns": [label for _field, label, _text in COLUMNS],
            "rows": [(point.at, _figures(point)) for point in reversed(points)], "why_nothing": _why_nothing(instance)}


def _figures(point: Point) -> list[str]:
    values = [(getattr(point, field), text) for field, _label, text in COLUMNS]
    return ["–" if value is None else text(value) for value, text in values]


def _why_nothing(instance: Instance) -> str:
    if instance.state not in ON_SCREEN:
        return _("Only what runs is measured, and it did not run in this time.")
    if instance.host.health == Host.Health.UNREACHABLE:
        return _("Its host does not answer, so that nothing is measured. It goes on by itself when the host answers again.")
    return _("It is asked every 15 seconds, and summed up every minute. Whatever comes appears here by itself.")
