"""Name, description and tags of anything: one form, one view, an address for every kind that the API lets change."""
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.instances.forms import DescriptionForm
from compute.instances.models import Instance, LaunchTemplate, Snapshot, SshKey
from compute.network.models import FloatingIp, Port, SecurityGroup, Subnet, Vpc
from compute.network.views.asking import sent
from portal.kernel.describing import update_resource
from portal.kernel.models import Resource
from portal.kernel.pages import acted
from storage.models import Image, Volume
from tenants.access import fetch
from tenants.pages import page

# What else a new name changes, and what it does not.
NOTES: dict[type[Model], Any] = {
    Instance: gettext_lazy("The guest's own host name stays as it is."),
    LaunchTemplate: gettext_lazy("What is made from it is called as its versions say."),
    SshKey: gettext_lazy("The key itself and the instances that have it stay as they are."),
    FloatingIp: gettext_lazy("The address stays as it is."),
}


def edit(model: type[Resource], permission: str, list_page: str) -> Callable[..., HttpResponse]:
    """The view of one kind. What somebody else changed meanwhile is shown before it is overwritten."""

    @page(permission, methods=("GET", "POST"))
    def change(request: HttpRequest, pk: UUID) -> HttpResponse:
        row = fetch(request.user, model.objects.select_related("project__organization"), permission, pk=pk)
        form, home = DescriptionForm(sent(request), row=row), home_of(row)
        if request.method == "POST" and form.carried_out(lambda: _save(form, row, request.user)):
            return acted(request, _("Saved."), home[1])
        return render(request, "resources/edit.html", {
            "form": form, "row": row, "list_page": list_page, "home": [home], "back": home[1],
            "note": NOTES.get(model, "")}, status=form.status)

    return change


def _save(form: DescriptionForm, row: Resource, actor: Any) -> Resource:
    if not form.changes:
        return row
    return update_resource(row, actor=actor, version=form.cleaned_data["version"], **form.changes)


def home_of(row: Resource) -> tuple[str, str]:
    """Name and address of the page that shows the row: its own, or that of the VPC that it is a part of."""
    if isinstance(row, Subnet):
        return row.vpc.name, reverse("vpcs:detail", args=[row.vpc_id])
    if isinstance(row, Port):
        return row.subnet.vpc.name, reverse("vpcs:detail", args=[row.subnet.vpc_id])
    return row.name, reverse(row.declared.page, args=[row.pk])


instance = edit(Instance, "instance.update", "instances:list")
launch_template = edit(LaunchTemplate, "launch_template.update", "launch_templates:list")
ssh_key = edit(SshKey, "sshkey.manage", "ssh_keys:list")
snapshot = edit(Snapshot, "snapshot.update", "snapshots:list")
volume = edit(Volume, "volume.update", "volumes:list")
image = edit(Image, "image.update", "images:list")
vpc = edit(Vpc, "vpc.manage", "vpcs:list")
subnet = edit(Subnet, "vpc.manage", "vpcs:list")
port = edit(Port, "vpc.manage", "vpcs:list")
security_group = edit(SecurityGroup, "securitygroup.manage", "security_groups:list")
floating_ip = edit(FloatingIp, "floatingip.manage", "floating_ips:list")
