"""Pages of schedules: list, one with its runs, the form that says when it is due next before it is saved."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances.models import InstanceSchedule
from compute.instances.schedules import cron, verbs
from compute.instances.schedules.forms import ScheduleForm
from compute.instances.schedules.lists import RunList, ScheduleList, of_what
from compute.instances.schedules.verbs import MANAGE, VIEW
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import acted
from portal.kernel.states import database_now
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.scope import default_project

LIST = "instance_schedules:list"


@page(VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    return ScheduleList(request).answer()


def _schedule(request: HttpRequest, pk: UUID, permission: str = MANAGE) -> InstanceSchedule:
    rows = InstanceSchedule.objects.select_related("project__organization", "instance", "owner").defer(*verbs.UNREAD)
    return fetch(request.user, rows, permission, pk=pk)


def _page_of(schedule: InstanceSchedule) -> str:
    return reverse("instance_schedules:detail", args=[schedule.pk])


@page(VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it does, when it is due next, and what became of its runs."""
    found = _schedule(request, pk, VIEW)
    upcoming = cron.upcoming(found.cron, found.time_zone, database_now()) if found.is_enabled else []
    return RunList(request, found).answer(
        schedule=found, of_what=of_what(found), upcoming=upcoming, why_not_enable=verbs.why_not_enable(found, request.user),
        may_manage=request.user.grants.allows(MANAGE, found))


@page(MANAGE, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":  # hidden ones are absent, as everywhere
        where = fetch(request.user, Project.objects, MANAGE, pk=request.POST.get("project"))
    else:
        where = default_project(request, MANAGE)
    form = ScheduleForm(request.POST or None, user=request.user, project=where)
    if request.method == "POST" and "preview" not in request.POST and form.carried_out(
            lambda: verbs.create_schedule(actor=request.user, **form.values())):
        return acted(request, _("The schedule was made."), _page_of(form.made), leave=True)
    return _form(request, form, title=_("Create schedule"), back=reverse(LIST))


@page(MANAGE, methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _schedule(request, pk)
    form = ScheduleForm(request.POST or None, user=request.user, schedule=found)
    if request.method == "POST" and "preview" not in request.POST and form.carried_out(
            lambda: verbs.change_schedule(found, actor=request.user, **form.values())):
        return acted(request, _changed(form.made, request.user), _page_of(found), leave=True)
    return _form(request, form, title=_("Edit schedule"), back=_page_of(found), action=_("Save"))


def _changed(schedule: InstanceSchedule, user: Any) -> str:
    """An operator who helps leaves the owner as it is."""
    if schedule.owner == user:
        return _("The schedule was changed. It acts in your name from now on.")
    if schedule.owner is None:
        return _("The schedule was changed. Nobody is left in whose name it acts.")
    return _("The schedule was changed. It goes on acting in the name of %(owner)s.") % {"owner": schedule.owner}


def _form(request: HttpRequest, form: ScheduleForm, *, action: str = "", **context: Any) -> HttpResponse:
    """With the next runs of what was typed, where they were asked for."""
    upcoming, now = [], database_now()
    if "preview" in request.POST:  # nothing is saved: the name can wait
        form.fields["name"].required = False
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        try:
            cron.check(chosen["cron"], chosen["time_zone"], now)
            upcoming = cron.upcoming(chosen["cron"], chosen["time_zone"], now)
        except InvalidInput as error:
            form.blame(error.errors)
    return render(request, "instances/schedule_form.html", {
        "form": form, "upcoming": upcoming, "action": action or context["title"], **context}, status=form.status)


@page(MANAGE, methods=("POST",))
def enable(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = verbs.change_schedule(_schedule(request, pk), actor=request.user, enabled=True)
    text = _("The schedule is enabled. It acts in your name from now on.") if found.owner == request.user else _(
        "The schedule is enabled. It goes on acting in the name of %(owner)s.") % {"owner": found.owner}
    return acted(request, text, _page_of(found), leave=True)


@page(MANAGE, methods=("POST",))
def disable(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = verbs.change_schedule(_schedule(request, pk), actor=request.user, enabled=False)
    return acted(request, _("The schedule is disabled. Nothing is done by it meanwhile."), _page_of(found), leave=True)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _schedule(request, pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "action": request.path, "back": _page_of(found),
            "title": _("Delete the instance schedule “%(name)s”?") % {"name": found.name},
            "yes": _("Delete"), "text": _("Nothing is done by it any more, and the log of its runs goes with it.")})
    verbs.delete_schedule(found, actor=request.user)
    return acted(request, _("The instance schedule was deleted."), reverse(LIST), leave=True)
