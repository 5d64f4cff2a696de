"""VPCs, their subnets and ports: list, make, delete. The page of one VPC is in `compute.instances.views.networks`."""
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network import operations, queries
from compute.network.forms import PortForm, SubnetForm, VpcForm
from compute.network.lists import VpcList
from compute.network.models import Port, Subnet, Vpc
from compute.network.views.asking import ask, nowhere, place, sent, show_form
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


@page("vpc.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first."""
    return VpcList(request).answer()


@page("vpc.manage", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """A VPC with its first subnet."""
    project = place(request, "vpc.manage")
    if project is None:
        return nowhere(request, _("Create VPC"))
    form = VpcForm(sent(request), user=request.user, project=project)
    if request.method == "POST" and form.carried_out(lambda: _make(form, request.user)):
        text = _("The VPC “%(name)s” is there.") % {"name": form.made.name}
        return acted(request, text, reverse("vpcs:detail", args=[form.made.pk]))
    region = form.initial["region"]
    return show_form(request, form, title=_("Create VPC"), action=_("Create VPC"), back=reverse("vpcs:list"),
                     quota=queries.limited(project, region, {"vpcs": 1, "subnets": 1}) if region else [])


@transaction.atomic
def _make(form: VpcForm, actor: Any) -> Vpc:
    chosen = form.cleaned_data
    vpc = operations.create_vpc(chosen["project"], chosen["region"], name=chosen["name"], cidr=chosen["cidr"], actor=actor)
    try:
        operations.create_subnet(vpc, name=chosen["subnet_name"], cidr=form.first_range(), actor=actor)
    except InvalidInput as error:  # the verb speaks of its own `cidr`
        raise InvalidInput(errors={"subnet_cidr": error.errors.get("cidr", [])}) from error
    return vpc


@page("vpc.manage", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    vpc = fetch(request.user, queries.vpcs(request.user), "vpc.manage", pk=pk)
    question = ask(request, title=_("Delete the VPC “%(name)s”?") % {"name": vpc.name}, name=vpc.name, yes=_("Delete"),
                   text=_("Its subnets and its router go with it, and its public address goes back to the pool."),
                   back=reverse("vpcs:detail", args=[pk]))
    if question:
        return question
    operations.delete_vpc(vpc, actor=request.user)
    return acted(request, _("The VPC was deleted."), reverse("vpcs:list"), leave=True)


@page("vpc.manage", methods=("GET", "POST"))
def add_subnet(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One more range of the VPC."""
    vpc = fetch(request.user, queries.vpcs(request.user), "vpc.manage", pk=pk)
    form = SubnetForm(sent(request))
    if request.method == "POST" and form.carried_out(
            lambda: operations.create_subnet(vpc, actor=request.user, **form.cleaned_data)):
        return acted(request, _("The subnet was added."), reverse("vpcs:detail", args=[pk]))
    ranges = ", ".join(str(row.subnet.cidr) for row in queries.subnet_rows(vpc)) or _("none")
    lead = _("The VPC is %(cidr)s; taken: %(ranges)s.") % {"cidr": vpc.cidr, "ranges": ranges}
    return show_form(request, form, title=_("Add subnet"), action=_("Add subnet"), lead=lead, **_within(vpc),
                     quota=queries.limited(vpc.project, vpc.region, {"subnets": 1}))


@page("vpc.manage", methods=("GET", "POST"))
def add_port(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A port for an instance that is made later by REST."""
    vpc = fetch(request.user, queries.vpcs(request.user), "vpc.manage", pk=pk)
    form = PortForm(sent(request), user=request.user, vpc=vpc)
    if request.method == "POST" and form.carried_out(lambda: _plug(form, request.user)):
        return acted(request, _("The port was added."), reverse("vpcs:detail", args=[pk]))
    lead = _("Instances bring ports of their own. One made beforehand keeps its address when instances come and go.")
    return show_form(request, form, title=_("Add port"), action=_("Add port"), lead=lead, **_within(vpc),
                     quota=queries.limited(vpc.project, vpc.region, {"ports": 1}))


def _plug(form: PortForm, actor: Any) -> Port:
    chosen = form.cleaned_data
    return operations.create_port(chosen["subnet"], chosen["security_groups"], name=chosen["name"], ip=chosen["ip"], actor=actor)


def _within(vpc: Vpc) -> dict[str, object]:
    here = reverse("vpcs:detail", args=[vpc.pk])
    return {"crumbs": [(vpc.name, here)], "back": here}


@page("vpc.manage", methods=("POST",))
def delete_subnet(request: HttpRequest, pk: UUID) -> HttpResponse:
    subnet = fetch(request.user, Subnet.objects.select_related("project", "region"), "vpc.manage", pk=pk)
    here = reverse("vpcs:detail", args=[subnet.vpc_id])
    question = ask(request, title=_("Delete the subnet “%(name)s”?") % {"name": subnet.name}, yes=_("Delete"), back=here,
                   text=_("Its range is free again."))
    if question:
        return question
    operations.delete_subnet(subnet, actor=request.user)
    return acted(request, _("The subnet was deleted."), here)


@page("vpc.manage", methods=("POST",))
def delete_port(request: HttpRequest, pk: UUID) -> HttpResponse:
    port = fetch(request.user, Port.objects.select_related("project", "region", "subnet"), "vpc.manage", pk=pk)
    here = reverse("vpcs:detail", args=[port.subnet.vpc_id])
    question = ask(request, title=_("Delete the port “%(name)s”?") % {"name": port.name}, yes=_("Delete"), back=here,
                   text=_("Its address is free again; a floating IP at it becomes idle."))
    if question:
        return question
    operations.delete_port(port, actor=request.user)
    return acted(request, _("The port was deleted."), here)
