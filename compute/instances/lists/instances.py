"""The list of instances."""
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from compute.hosts.models import Host
from compute.instances import operations, queries
from compute.instances.classes import OF_CLASS
from compute.instances.models import HEAVY, Instance, InstanceState, InstanceType
from compute.instances.verbs import VERBS
from portal.kernel.composed import Composed
from portal.kernel.lists import Column, Empty, Filter, RowChoice
from portal.kernel.models import Operation, Zone
from storage.models import Image
from tenants.bulk import BulkVerb
from tenants.lists import BY_NAME, BY_TAG, CREATED, ID, NAME, PROJECT, REGION, STATE, TAGS, Listing, states
from tenants.scope import narrow

# What a line is drawn from. Reading the whole of seven tables takes twice as long.
RELATED = ("project__organization", "region", "zone", "type", "image")
DRAWN = ("kind", "name", "tags", "version", "created_at", "state_changed_at", "state", "recycled_at", "observed_state",
         "vcpus", "memory_mib", "fault", "locked_at", "is_protected",
         "project__name", "project__organization__name", "region__name", "zone__name",
         "type__name", "image__name")

# What a verb that is refused tells of a lock.
GUARDS = ("lock_reason", "is_locked_by_operator", "locked_by__username")

LINES = Composed(lambda pks: Instance.objects.filter(pk__any_of=pks).select_related(*RELATED).only(*DRAWN), pks=list[UUID])


def rows_of(request: HttpRequest) -> QuerySet[Instance]:
    return Instance.objects.visible_to(request.user).defer(*HEAVY).select_related(
        "project__organization", "region", "zone", "type", "image", "host")


def _act(name: str, instance: Instance, user: Any) -> Operation:
    return operations.act(instance, name, actor=user)


class InstanceList(Listing):
    """Instances; operators filter by host too."""

    name, url_name, row_template = "instances", "instances:list", "instances/_row.html"
    live, has_actions = "instance floating_ip", True
    columns = (
        ID, NAME, STATE, Column(label=_("To be deleted for good"), only_in_csv=True, value=lambda line: line.row.purge_at),
        Column(label=_("Addresses"), value=lambda line: " ".join(filter(None, sum(line.item.addresses, ())))),
        Column(label=_("Size"), kind="wide-only", value=lambda line: line.row.type.name),
        Column(label=_("vCPUs"), only_in_csv=True, value=lambda line: line.row.vcpus),
        Column(label=_("memory (MiB)"), only_in_csv=True, value=lambda line: line.row.memory_mib),
        Column(label=_("Image"), kind="wide-only extra", value=lambda line: line.row.image.name),
        REGION, Column(label=_("Zone"), only_in_csv=True, value=lambda line: line.row.zone and line.row.zone.name),
        PROJECT, CREATED, TAGS)
    filters = (
        BY_NAME, states(InstanceState.choices, "deleted"),
        RowChoice(name="type", label=_("Size"), rows=InstanceType.objects.visible_to, is_extra=True),
        RowChoice(name="image", label=_("Image"), rows=Image.objects.visible_to, is_extra=True),
        RowChoice(name="zone", label=_("Zone"), rows=lambda user: Zone.objects.all(), is_extra=True), BY_TAG)
    BY_HOST = RowChoice(name="host", label=_("Host"), rows=Host.objects.visible_to, is_extra=True)
    verbs = tuple(BulkVerb(name=verb.name, label=verb.label, icon=verb.icon, permission=verb.permission, effect=verb.confirm,
                           is_bad=verb.is_bad, is_dangerous=verb.is_dangerous, why_not=verb.why_not, act=partial(_act, verb.name))
                  for verb in VERBS.values() if not verb.has_form)
    empty = Empty(icon="server", title=_("No instances yet"),
                  text=_("An instance is a computer of your own: choose an image and a size, and it runs within seconds."),
                  action=_("Create instance"), url_name="instances:create", permission="instance.create",
                  command='mains instance create web --type small --image "Mains demo" --wait')

    head_template = "instances/_bin.html"

    def rows(self) -> QuerySet[Instance]:
        """What is in the recycle bin is shown where it is asked for; what is acted on was named by its page."""
        rows = narrow(self.request, Instance.objects.visible_to(self.user).select_related(
            *RELATED, "host__endpoint", "locked_by").only(
                *DRAWN, *GUARDS, *(f"type__{name}" for name in OF_CLASS), "host__endpoint__capabilities"))
        return rows if self.is_bin or self.request.method == "POST" else rows.exclude(state=InstanceState.RECYCLED)

    @property
    def title(self) -> Any:
        return _("Recycle bin") if self.is_bin else _("Instances")

    @property
    def is_bin(self) -> bool:
        return self.chosen.get("state") == [InstanceState.RECYCLED]

    @property
    def recycled(self) -> int:
        """How many are in the recycle bin."""
        return narrow(self.request, Instance.objects.visible_to(self.user)).filter(state=InstanceState.RECYCLED).count()

    @cached_property
    def offered(self) -> list[dict[str, Any]]:
        """There, only what can be done there."""
        shown = {name for name, verb in VERBS.items() if self.is_bin == (InstanceState.RECYCLED in verb.legal)}
        return [one for one in super().offered if one["value"] in shown]

    def read(self, pks: Sequence[UUID]) -> list[Instance]:
        return LINES.models(pks=list(pks))

    def items(self, rows: list[Instance]) -> list[queries.Reached]:
        return queries.reached(rows)

    def user_filters(self) -> tuple[Filter, ...]:
        return (*self.filters, self.BY_HOST) if self.user.grants.sees_everything else self.filters
