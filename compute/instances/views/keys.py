"""SSH keys: list, add, generate (the private part is shown once, on the answer itself), delete."""
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import keys
from compute.instances.forms import KeyForm, NewKeyForm
from compute.instances.models import SshKey
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.scope import default_project, narrow


def _show(request: HttpRequest, *, add: KeyForm | None = None, new: NewKeyForm | None = None, status: int = 200,
          **context: object) -> HttpResponse:
    rows = narrow(request, SshKey.objects.visible_to(request.user)).select_related("project__organization")
    context |= {"keys": rows.order_by("name", "-created_at")[:500], "add": add or KeyForm(),
                "new": new or NewKeyForm(auto_id="id_new_%s"), "target": default_project(request, "sshkey.manage")}
    return render(request, "instances/keys.html", context, status=status)


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
            return redirect("ssh_keys:list")
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


@page("sshkey.manage", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = fetch(request.user, SshKey.objects.select_related("project"), "sshkey.manage", pk=pk)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "title": _("Delete the SSH key “%(name)s”?") % {"name": key.name}, "yes": _("Delete"),
            "action": request.path,
            "text": _("New instances cannot be given it any more. Instances that have it keep it."),
            "back": reverse("ssh_keys:list")})
    keys.delete_key(key, actor=request.user)
    return acted(request, _("The key was deleted."), reverse("ssh_keys:list"), leave=True)
