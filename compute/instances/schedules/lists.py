"""The list of schedules, and the runs of one on its page."""
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from compute.instances.models import InstanceSchedule, ScheduleRun
from compute.instances.schedules.running import GONE, LEFT, NO_RIGHT, SLEPT
from compute.instances.schedules.verbs import MANAGE
from portal.kernel.lists import Choice, Column, Empty
from tenants.lists import BY_NAME, CREATED, ID, NAME, PROJECT, STATE, Listing, states
from tenants.scope import current_project

REASONS: dict[str, Any] = {
    LEFT: _("Nobody is left in whose name it acts."), NO_RIGHT: _("Its owner may not operate instances there any more."),
    GONE: _("The instance is gone."), SLEPT: _("It was too late when the portal came to it.")}
OUTCOMES: dict[str, Any] = {"accepted": _("accepted"), "unchanged": _("was so already"), "refused": _("refused")}
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
        rows = InstanceSchedule.objects.visible_to(self.user).select_related("project__organization", "instance")
        project = current_project(self.request)
        return rows if project is None else rows.filter(project=project)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One instance of a run, in words."""

    pk: str
    name: str
    tone: str
    label: Any
    reason: Any
    """Why nothing was begun, where the schedule itself says so."""
    error: dict[str, Any] | None
    """What the verb was refused with, as it is stored."""

    def __str__(self) -> str:
        why = self.reason or (self.error or {}).get("detail", "")
        return f"{self.name}: {self.label} {why}".strip()


def outcomes(run: ScheduleRun) -> list[Outcome]:
    return [Outcome(pk=one["instance"], name=one["name"], tone=TONES[one["outcome"]], label=OUTCOMES[one["outcome"]],
                    reason=REASONS.get((one["error"] or {}).get("code", ""), ""), error=one["error"]) for one in run.results]


class RunList(Listing):
    """The runs of one schedule, on its page."""

    name, page_template, row_template = "schedule-runs", "instances/schedule.html", "instances/_run_row.html"
    url_name = "instance_schedules:list"
    columns = (
        ID, Column(label=_("Due"), value=lambda line: line.row.due_at), STATE,
        Column(label=_("What became of it"), value=lambda line: "; ".join(
            map(str, line.item[0])) or line.item[1]),
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
        return [(outcomes(row), str(REASONS.get(row.reason, ""))) for row in rows]
