"""SSH keys: list, one, add, generate (the private part is shown once, on the answer itself), delete."""
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import keys, related
from compute.instances.forms import KeyForm, NewKeyForm
from compute.instances.lists.keys import KeyList
from compute.instances.models import SshKey
from compute.instances.views.sheets import UNDER_WAY, Action, Danger, Sheet, Tab, edit_action, may_not, show, timeline_tab
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.scope import default_project

LIST = "ssh_keys:list"


def _show(request: HttpRequest, *, add: KeyForm | None = None, new: NewKeyForm | None = None, status: int = 200,
          **context: object) -> HttpResponse:
    return KeyList(request).answer(status=status, add=add or KeyForm(), new=new or NewKeyForm(auto_id="id_new_%s"),
                                   target=default_project(request, "sshkey.manage"), **context)


@page("sshkey.view")
def listing(request: HttpRequest) -> HttpResponse:
    return _show(request)


def _place(request: HttpRequest) -> tuple[Project, Region]:
    project = fetch(request.user, Project.objects.select_related("organization"), "sshkey.manage",
                    pk=request.POST.get("project"))
    region = Region.objects.filter(is_open=True).first()
    if region is None:
        raise InvalidInput.field("region", _("There is no region yet."))
    return project, region


@page("sshkey.manage", methods=("POST",))
def add(request: HttpRequest) -> HttpResponse:
    """A pasted public key."""
    project, region = _place(request)
    form = KeyForm(request.POST)
    if form.is_valid():
        try:
            keys.add_key(project, region, actor=request.user, **form.cleaned_data)
        except InvalidInput as error:
            for name, texts in error.errors.items():
                form.add_error(name if name in form.fields else None, texts)
        else:
            messages.success(request, _("The key was added."))
            return redirect(LIST)
    return _show(request, add=form, status=400)


@page("sshkey.manage", methods=("POST",))
def generate(request: HttpRequest) -> HttpResponse:
    """A new pair. No redirect: the private part is on this answer only."""
    project, region = _place(request)
    form = NewKeyForm(request.POST, auto_id="id_new_%s")
    if not form.is_valid():
        return _show(request, new=form, status=400)
    key, private = keys.generate_key(project, region, name=form.cleaned_data["name"], actor=request.user)
    response = _show(request, made=key, private=private)
    response["Cache-Control"] = "no-store"
    return response


@page("sshkey.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, instances or timeline."""
    key = fetch(request.user, SshKey.objects.select_related("project__organization", *UNDER_WAY), "sshkey.view", pk=pk)
    tabs = {"overview": Tab(label=_("Overview"), part="instances/_key.html", content=lambda: {"danger": _danger(request, key)}),
            "instances": Tab(label=_("Instances"), part="resources/_instances.html", content=lambda: {
                **related.shown(request, related.with_key(key)), "no_instances": _("No instance was given it.")}),
            "timeline": timeline_tab(request, lambda: [pk])}
    return show(request, Sheet(row=key, list_page=LIST, lead="instances/_key_lead.html", tabs=tabs, context={"key": key},
                               live=f"ssh_key:{pk} instance",
                               actions=[edit_action(request, key, "sshkey.manage", "ssh_keys:edit")]))


def _danger(request: HttpRequest, key: SshKey) -> Danger:
    effects = [_("New instances cannot be given it any more."), _("Instances that have it keep it.")]
    return Danger(effects=effects, action=Action(
        label=_("Delete SSH key"), symbol="trash", url=reverse("ssh_keys:delete", args=[key.pk]), is_bad=True,
        question=_("Delete the SSH key “%(name)s”?") % {"name": key.name}, text="\n".join(effects),
        why_not=may_not(request, "sshkey.manage", key)))


@page("sshkey.manage", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = fetch(request.user, SshKey.objects.select_related("project"), "sshkey.manage", pk=pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "title": _("Delete the SSH key “%(name)s”?") % {"name": key.name}, "yes": _("Delete"),
            "action": request.path,
            "text": _("New instances cannot be given it any more. Instances that have it keep it."),
            "back": reverse(LIST)})
    keys.delete_key(key, actor=request.user)
    return acted(request, _("The key was deleted."), reverse(LIST), leave=True)
