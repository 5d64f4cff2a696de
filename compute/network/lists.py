"""What the lists of VPCs and security groups show: columns, filters, verbs on many rows. The pages are in `views`."""
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from compute.network import operations, queries, wording
from compute.network.models import SecurityGroup, Vpc
from portal.kernel.lists import Choice, Column, Empty
from tenants.bulk import BulkVerb
from tenants.lists import BY_NAME, BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, REGION, TAGS, Listing
from tenants.scope import narrow


def _in_state(state: str) -> Q:
    behind = Q(revision__gt=F("applied_revision"))
    return behind if state == "pending" else ~behind


class VpcList(Listing):
    """VPCs with how much is in them."""

    name, url_name, row_template = "vpcs", "vpcs:list", "network/_vpc_row.html"
    title, live = _("VPCs"), "vpc subnet port"
    columns = (
        ID, NAME, Column(label=_("State"), value=lambda line: line.item.state), Column(
            label=_("Range"), value=lambda line: line.row.cidr),
        Column(label=_("Seen outside as"), kind="wide-only", value=lambda line: line.row.router_address),
        Column(label=_("Subnets"), kind="wide-only text-end", value=lambda line: line.item.subnets),
        Column(label=_("Ports"), kind="wide-only text-end", value=lambda line: line.item.ports), REGION, PROJECT, CREATED, TAGS)
    filters = (
        BY_NAME, Choice(name="state", label=_("State"), means=_in_state, choices=[
            (state, label) for state, (_tone, label) in wording.VPC_STATES.items() if state != "refused"]), BY_REGION, BY_TAG)
    verbs = (BulkVerb(name="delete", label=_("Delete"), icon="trash", permission="vpc.manage", is_dangerous=True,
                      act=lambda vpc, user: operations.delete_vpc(vpc, actor=user),
                      effect=_("Their subnets and routers go with them, and their public addresses go back to the pool.")),)
    empty = Empty(icon="sitemap", title=_("No VPCs yet"), action=_("Create VPC"), url_name="vpcs:create",
                  permission="vpc.manage", command="mains vpc create backend --cidr 10.1.0.0/16",
                  text=_("A VPC is a private network of your own with a router to the outside. The first instance makes one by "
                         "itself."))

    def rows(self) -> QuerySet[Vpc]:
        return narrow(self.request, queries.vpcs(self.user))

    def items(self, rows: list[Vpc]) -> list[queries.VpcRow]:
        return queries.vpc_rows(rows)

    def is_changing(self, row: Vpc) -> bool:
        return row.state == "pending"


class GroupList(Listing):
    """Security groups with how many rules and ports they have."""

    name, url_name, row_template, ordering = "security-groups", "security_groups:list", "network/_group_row.html", "name"
    title, live = _("Security groups"), "security_group port"
    columns = (
        ID, NAME, Column(label=_("Description"), value=lambda line: line.row.description),
        Column(label=_("Rules"), kind="wide-only text-end", value=lambda line: line.item.rules),
        Column(label=_("Ports"), kind="text-end", value=lambda line: line.item.ports), REGION, PROJECT, CREATED, TAGS)
    filters = (BY_NAME, BY_REGION, BY_TAG)
    verbs = (BulkVerb(name="delete", label=_("Delete"), icon="trash", permission="securitygroup.manage", is_bad=True,
                      act=lambda group, user: operations.delete_group(group, actor=user),
                      effect=_("Their rules go with them. Groups that ports are in stay.")),)
    empty = Empty(icon="shield", title=_("No security groups yet"), action=_("Create security group"),
                  url_name="security_groups:create", permission="securitygroup.manage", command="mains security-group create web",
                  text=_("A security group says which traffic reaches an instance. The first instance makes a default one that "
                         "lets in SSH, HTTP and ping."))

    def rows(self) -> QuerySet[SecurityGroup]:
        return narrow(self.request, SecurityGroup.objects.visible_to(self.user)).select_related("project__organization", "region")

    def items(self, rows: list[SecurityGroup]) -> list[queries.GroupRow]:
        return queries.group_rows(rows)
