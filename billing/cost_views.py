"""The page of costs: what the month costs and where it goes; what takes longer to add up comes as parts, after the page.

A part is fetched by htmx from the page's own address (`?part=days`); without a script the same address shows the page with it.
"""
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from billing import rating
from billing.costs import month_asked
from billing.costs.anomalies import anomalies
from billing.costs.explorer import BY, Chart, Outlook, Question, Sheet, charts, checked, outlooks, sheets
from billing.costs.idle import idle
from billing.costs.tags import tags_in_use
from billing.queries import projects_seen
from portal.kernel.errors import InvalidInput
from portal.kernel.lists import export
from portal.kernel.pages import is_fragment
from portal.kernel.states import database_now
from tenants.pages import page
from tenants.scope import current_project

PARTS = ("outlook", "days", "parts", "findings")
MOST_FOUND = 10
WORDS = {"service": lazy("Service"), "project": lazy("Project"), "meter": lazy("Meter"), "resource": lazy("Resource")}
FILE_COLUMNS = (lazy("Id"), lazy("Name"), lazy("Amount"), lazy("Currency"))


class Asked:
    """What the address asks for. Raises InvalidInput; everything else is read when it is shown."""

    def __init__(self, request: HttpRequest) -> None:
        self.now = database_now()
        self.project = current_project(request)
        self.projects = projects_seen(request.user, self.project)
        self.by = checked(request.GET.get("by", "service"))
        self.part = request.GET.get("part", "")
        if self.part and self.part not in PARTS:
            raise InvalidInput.field("part", _("One of: {names}.").format(names=", ".join(PARTS)))
        self.question = Question(selection=rating.Selection(projects=self.projects), now=self.now,
                                 month=month_asked(request.GET.get("month"), self.now))

    @property
    def is_quick(self) -> bool:
        """Whether the parts follow from the sums that the page has anyway."""
        return self.by in BY[:3]

    @property
    def choices(self) -> list[tuple[str, Any]]:
        """What the month can be divided by; a tag that was asked for by its address is among them."""
        tags = {*self.tags, *([self.by.removeprefix(rating.TAG)] if self.by.startswith(rating.TAG) else [])}
        return [*WORDS.items(), *((f"{rating.TAG}{key}", _("Tag “%(key)s”") % {"key": key}) for key in sorted(tags))]

    @property
    def by_label(self) -> Any:
        return dict(self.choices)[self.by]

    @property
    def newer(self) -> Any:
        return self.question.month.next if self.question.month.end <= self.now else None

    @cached_property
    def sheets(self) -> list[Sheet]:
        """Divided, when that is quick or asked for."""
        return sheets(self.question, self.by if self.is_quick or self.part == "parts" else "service")

    @property
    def counted_until(self) -> datetime:
        """What took long to add up stands for some seconds."""
        return min((sheet.at for sheet in self.sheets), default=self.now)

    @cached_property
    def outlooks(self) -> list[Outlook]:
        return outlooks(self.question)

    @cached_property
    def charts(self) -> list[Chart]:
        return charts(self.question, self.by)

    @cached_property
    def tags(self) -> list[str]:
        return tags_in_use(self.projects)

    @cached_property
    def findings(self) -> dict[str, Any]:
        found = idle(self.projects, self.now)
        return {"anomalies": anomalies(self.question.selection, self.now), "idle": found, "dearest_idle": found.rows[:MOST_FOUND]}


@page("usage.view")
def costs(request: HttpRequest) -> HttpResponse:
    """`?month=2026-11`, `?by=project`, `?part=days`, `?format=csv`."""
    asked = Asked(request)
    if request.GET.get("format") == "csv":
        return export.answer(f"costs-{asked.question.month}", FILE_COLUMNS, _batch(asked))
    is_part = bool(asked.part) and is_fragment(request)
    response = render(request, f"billing/_cost_{asked.part}.html" if is_part else "billing/costs.html", {"costs": asked})
    response["Vary"] = ", ".join(filter(None, (response.get("Vary"), "HX-Request")))
    if is_part:
        response["Cache-Control"] = "no-store"
    return response


def _batch(asked: Asked) -> Callable[[str | None, int], tuple[list[list[object]], str | None]]:
    """All parts of the month as CSV: rating reads them in one statement, so they are one batch."""
    def read(_cursor: str | None, _limit: int) -> tuple[list[list[object]], str | None]:
        found = sheets(asked.question, asked.by, top=export.MOST_ROWS)
        rows = [[part.key, part.label, part.amount.amount, part.amount.currency] for sheet in found for part in sheet.parts]
        is_cut = len(rows) >= export.MOST_ROWS and any(sheet.rest for sheet in found)
        return rows[:export.MOST_ROWS], "more" if is_cut else None
    return read
