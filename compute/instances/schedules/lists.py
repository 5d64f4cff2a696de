"""The list of schedules, and the runs of one on its page."""
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance, InstanceSchedule, ScheduleRun
from compute.instances.schedules.reasons import REASONS
from compute.instances.schedules.verbs import MANAGE, UNREAD
from portal.kernel.lists import Choice, Column, Empty
from portal.kernel.models import Operation
from tenants.lists import BY_NAME, CREATED, ID, NAME, PROJECT, STATE, Listing, states
from tenants.scope import current_project

OUTCOMES: dict[str, Any] = {"accepted": _("was begun"), "unchanged": _("was so already"), "refused": _("refused")}
TONES = {"accepted": "ok", "unchanged": "off", "refused": "bad"}


def of_what(schedule: InstanceSchedule) -> str:
    return schedule.instance.name if schedule.instance else schedule.tag


class ScheduleList(Listing):
    """What is done by the clock."""

    name, url_name, row_template = "instance-schedules", "instance_schedules:list", "instances/_schedule_row.html"
    title = _("Schedules")
    columns = (
        ID, Column(label=NAME.label, value=NAME.value), STATE,
        Column(label=_("What is done"), value=lambda line: line.row.get_verb_display()),
        Column(label=_("To what"), kind="wide-only", value=lambda line: of_what(line.row)),
        Column(label=_("When"), kind="wide-only", value=lambda line: f"{line.row.cron} {line.row.time_zone}"), PROJECT,
        Column(label=CREATED.label, sort="created_at", kind="wide-only extra", value=CREATED.value))
    filters = (BY_NAME, states(InstanceSchedule.State.choices),
               Choice(name="verb", label=_("What is done"), choices=InstanceSchedule.Verb.choices))
    empty = Empty(icon="clock", title=_("No schedules yet"), action=_("Create schedule"), url_name="instance_schedules:create",
                  permission=MANAGE,
                  command='mains instance-schedule create "nights off" --verb stop --tag-key env --cron "0 20 * * 1-5"',
                  text=_("Stop what nobody needs at night, and start it before people come."))

    def rows(self) -> QuerySet[InstanceSchedule]:
        rows = InstanceSchedule.objects.visible_to(self.user).select_related("project__organization", "instance").defer(*UNREAD)
        project = current_project(self.request)
        return rows if project is None else rows.filter(project=project)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One instance of a run, in words."""

    pk: str
    name: str
    has_page: bool
    operation: str
    """What was begun, where there is still something to look at."""
    tone: str
    label: Any
    reason: Any
    """Why nothing was begun, where the schedule itself says so."""
    error: dict[str, Any] | None
    """What the verb was refused with, as it is stored."""


def outcomes(run: ScheduleRun, pages: set[str]) -> list[Outcome]:
    """In words; `pages` are ids of instances and operations that the reader may look at."""
    return [Outcome(pk=one["instance"], name=one["name"], has_page=one["instance"] in pages,
                    operation=one["operation"] if one["operation"] in pages else "",
                    tone=TONES[one["outcome"]], label=OUTCOMES[one["outcome"]],
                    reason=REASONS.get((one["error"] or {}).get("code", ""), ""), error=one["error"]) for one in run.results]


class RunList(Listing):
    """The runs of one schedule, on its page."""

    name, page_template, row_template = "schedule-runs", "instances/schedule.html", "instances/_run_row.html"
    url_name = "instance_schedules:list"
    columns = (
        ID, Column(label=_("Due"), value=lambda line: line.row.due_at), STATE,
        Column(label=_("What became of it"), value=lambda line: render_to_string("instances/run.txt", {"item": line.item})),
        Column(label=CREATED.label, sort="created_at", kind="wide-only", value=CREATED.value))
    filters = (states(ScheduleRun.State.choices),)
    polls = True
    empty = Empty(icon="history", title=_("Nothing was done yet"), text=_("The first run comes when it is due."))

    def __init__(self, request: HttpRequest, schedule: InstanceSchedule) -> None:
        super().__init__(request)
        self.schedule, self.title = schedule, schedule.name

    @cached_property
    def address(self) -> str:
        return reverse("instance_schedules:detail", args=[self.schedule.pk])

    def rows(self) -> QuerySet[ScheduleRun]:
        return ScheduleRun.objects.visible_to(self.user).filter(schedule=self.schedule)

    def items(self, rows: list[ScheduleRun]) -> list[tuple[list[Outcome], str]]:
        results = [one for row in rows for one in row.results]
        shown = (Instance.objects.live().visible_to(self.user).filter(pk__in={one["instance"] for one in results}),
                 Operation.objects.visible_to(self.user).filter(pk__in={one["operation"] for one in results} - {None}))
        pages = {str(pk) for found in shown for pk in found.values_list("pk", flat=True)}
        return [(outcomes(row, pages), str(REASONS.get(row.reason, ""))) for row in rows]
