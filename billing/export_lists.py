"""What the lists of exports and of their schedules show. The pages are in `export_views`."""
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from billing.exports.delivery import words
from billing.exports.schedules import host_of
from billing.invoice_lists import OfOrganization, organization_column
from billing.models import Export, ExportSchedule
from billing.models.exports import Format, What
from portal.kernel.lists import Choice, Column, Empty
from tenants.lists import CREATED, ID, NAME, STATE, states

NEWEST = Column(label=CREATED.label, sort="created_at", value=CREATED.value)


class ExportList(OfOrganization):
    """Files that were asked for, newest first."""

    name, url_name, row_template, title = "exports", "exports:list", "billing/_export_row.html", _("Exports")
    page_template = "billing/exports.html"
    columns = (
        ID, Column(label=_("What"), value=lambda line: line.row.get_what_display()), STATE,
        Column(label=_("Months"), value=lambda line: line.row.period),
        organization_column(lambda line: line.row.organization.name),
        Column(label=_("Format"), kind="wide-only", value=lambda line: line.row.format),
        Column(label=_("Rows"), kind="extra text-end", value=lambda line: line.row.rows),
        Column(label=_("Bytes"), only_in_csv=True, value=lambda line: line.row.size),
        Column(label="SHA-256", only_in_csv=True, value=lambda line: line.row.sha256), NEWEST)
    filters = (states(Export.State.choices), Choice(name="what", label=_("What"), choices=What.choices),
               Choice(name="format", label=_("Format"), choices=Format.choices, is_extra=True))
    polls, has_actions = True, True  # their operations are of no project, whose events pages hear
    live = "export"
    empty = Empty(icon="download", title=_("No exports yet"), action=_("Export"), url_name="exports:create",
                  permission="invoice.view", command="mains export create --what focus --format csv --first-month 2026-10",
                  text=_("Take the charges, invoices, usage or ledger of some months with you as a file."))

    def rows(self) -> QuerySet[Export]:
        return self.narrowed(Export.objects.visible_to(self.user)).select_related("organization")


class ScheduleList(OfOrganization):
    """What is made and brought somewhere by itself."""

    name, url_name, row_template = "export-schedules", "export_schedules:list", "billing/_export_schedule_row.html"
    title = _("Scheduled exports")
    columns = (
        ID, Column(label=NAME.label, value=NAME.value), STATE,
        Column(label=_("What"), value=lambda line: line.row.get_what_display()),
        Column(label=_("Every"), kind="wide-only", value=lambda line: line.row.get_every_display()),
        organization_column(lambda line: line.row.organization.name),
        Column(label=_("Where to"), kind="wide-only", value=lambda line: line.item), NEWEST)
    filters = (states(ExportSchedule.State.choices),)
    empty = Empty(icon="history", title=_("No scheduled exports yet"), action=_("Schedule exports"),
                  url_name="export_schedules:create", permission="billing.manage",
                  command="mains export-schedule create warehouse --what focus --format json --every month",
                  text=_("A file of every month, brought to a program of yours after the month was closed."))

    def rows(self) -> QuerySet[ExportSchedule]:
        return self.narrowed(ExportSchedule.objects.visible_to(self.user)).select_related("organization")

    def items(self, rows: list[ExportSchedule]) -> list[str]:
        return [host_of(row) or row.folder for row in rows]


class ScheduledList(ExportList):
    """The files of one schedule with what became of them, on its page."""

    name, page_template, row_template = "scheduled", "billing/export_schedule.html", "billing/_scheduled_row.html"
    columns = (
        ID, Column(label=_("Months"), value=lambda line: line.row.period), STATE,
        Column(label=_("Delivery"), value=lambda line: line.row.get_delivery_display()),
        Column(label=_("Answer"), kind="wide-only", value=lambda line: line.item), NEWEST)
    filters = (states(Export.State.choices),)
    has_actions = False
    empty = Empty(icon="history", title=_("Nothing was made yet"), text=_("The first file comes when it is due."))

    def __init__(self, request: HttpRequest, schedule: ExportSchedule) -> None:
        super().__init__(request)
        self.schedule, self.title = schedule, schedule.name

    @cached_property
    def address(self) -> str:
        return reverse("export_schedules:detail", args=[self.schedule.pk])

    def rows(self) -> QuerySet[Export]:
        return Export.objects.visible_to(self.user).filter(schedule=self.schedule)

    def items(self, rows: list[Export]) -> list[Any]:
        """The last answer in words."""
        return [words(row.last) if row.last else "" for row in rows]
