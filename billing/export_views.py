"""Pages on exports: files of the books, links to them, schedules that make them and their log.

The one page without a session is the download: its signature says who made the link.
"""
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.export_forms import ExportForm, OfOrganizationForm, ScheduleForm
from billing.export_lists import ExportList, ScheduledList, ScheduleList
from billing.exports import files, links, schedules
from billing.exports.delivery import words
from billing.exports.verbs import request_export
from billing.exports.writers import WRITERS
from billing.models import Export, ExportSchedule
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page
from tenants.scope import current_project

VIEW, MANAGE = "invoice.view", "billing.manage"
BLOCK = 256 * 1024


@page(VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    return ExportList(request).answer(may_manage=request.user.grants.may_anywhere(MANAGE))


@page(VIEW, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    form = ExportForm(request.POST or None, user=request.user, project=current_project(request))
    if request.method == "POST" and form.carried_out(lambda: request_export(
            form.cleaned_data.pop("organization"), actor=request.user, **form.cleaned_data)):
        return acted(request, _("The file is being written."), reverse("exports:list"), leave=True)
    return _form(request, form, title=_("Export"), back=reverse("exports:list"))


def _form(request: HttpRequest, form: OfOrganizationForm, **context: str) -> HttpResponse:
    return render(request, "billing/export_form.html", {"form": form, **context}, status=400 if form.errors else 200)


@page(VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is in the file, how far it is, and what became of bringing it somewhere."""
    export = fetch(request.user, Export.objects.select_related("organization", "schedule", "maker"), VIEW, pk=pk)
    attempts = [attempt | {"words": words(attempt)} for attempt in reversed(export.attempts)]
    return render(request, "billing/export.html", {
        "export": export, "attempts": attempts, "may_manage": request.user.grants.allows(MANAGE, export)})


@page(VIEW, methods=("POST",))
def link(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make a link and follow it."""
    export = fetch(request.user, Export.objects.select_related("organization"), VIEW, pk=pk)
    return redirect(links.make_link(export, actor=request.user))


@page(public=True)
def download(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """The file, for whoever has a link that is good."""
    export = links.follow(pk, request.GET.get("signature", ""))
    response = StreamingHttpResponse(_stream(files.file_of(export.pk)), content_type=WRITERS[export.format].media_type)
    response["Content-Disposition"] = f'attachment; filename="{export.file_name}"'
    response["Content-Length"], response["X-Content-Type-Options"] = str(export.size), "nosniff"
    response["Cache-Control"], response["Referrer-Policy"] = "no-store", "no-referrer"
    return response


async def _stream(path: Path) -> AsyncIterator[bytes]:
    """Block by block: no memory holds a whole file."""
    file = await sync_to_async(path.open)("rb")
    try:
        while block := await sync_to_async(file.read)(BLOCK):
            yield block
    finally:
        file.close()


@page(VIEW)
def schedule_listing(request: HttpRequest) -> HttpResponse:
    return ScheduleList(request).answer()


def _schedule(request: HttpRequest, pk: UUID, permission: str = MANAGE) -> ExportSchedule:
    return fetch(request.user, ExportSchedule.objects.select_related("organization", "maker"), permission, pk=pk)


def _page_of(schedule: ExportSchedule) -> str:
    return reverse("export_schedules:detail", args=[schedule.pk])


def _show(request: HttpRequest, schedule: ExportSchedule, secret: str = "") -> HttpResponse:
    """The schedule with its log. A secret is on this answer only, which nobody keeps."""
    response = ScheduledList(request, schedule).answer(
        schedule=schedule, secret=secret, may_manage=request.user.grants.allows(MANAGE, schedule),
        trail=[(_("Scheduled exports"), reverse("export_schedules:list"))])
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@page(VIEW)
def schedule(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _schedule(request, pk, VIEW))


@page(MANAGE, methods=("GET", "POST"))
def create_schedule(request: HttpRequest) -> HttpResponse:
    """No redirect: the secret is on this answer only."""
    form = ScheduleForm(request.POST or None, user=request.user, project=current_project(request))
    if request.method == "POST" and form.carried_out(lambda: schedules.create_schedule(
            form.cleaned_data.pop("organization"), actor=request.user, **form.cleaned_data)):
        return _show(request, *form.made)
    return _form(request, form, title=_("Schedule exports"), back=reverse("export_schedules:list"))


@page(MANAGE, methods=("POST",))
def enable(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = schedules.change_schedule(_schedule(request, pk), actor=request.user, enabled=True)
    return acted(request, _("The schedule is enabled."), _page_of(found), leave=True)


@page(MANAGE, methods=("POST",))
def disable(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = schedules.change_schedule(_schedule(request, pk), actor=request.user, enabled=False)
    return acted(request, _("The schedule is disabled. No file is made meanwhile."), _page_of(found), leave=True)


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _schedule(request, pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "action": request.path, "back": _page_of(found), "title": _("Delete the schedule “%(name)s”?") % {"name": found.name},
            "yes": _("Delete"), "text": _("No further file is made. Those that there are stay.")})
    schedules.delete_schedule(found, actor=request.user)
    return acted(request, _("The schedule was deleted."), reverse("export_schedules:list"), leave=True)
