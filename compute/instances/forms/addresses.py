"""Which floating IP goes where. Choices are limited to what the user may see."""
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from compute.instances.addresses import with_owners
from compute.network.forms import VerbForm, read_once
from compute.network.models import FloatingIp, Port

MOST_OFFERED = 200  # more than anybody looks through; an instance's own page offers its ports too


class PortField(forms.ModelChoiceField):
    """A port by its instance's name."""

    def label_from_instance(self, port: Port) -> str:
        return f"{port.owner or port.name} – {port.ip} ({port.subnet.vpc.name} / {port.subnet.name})"


class AssociateForm(VerbForm):
    """Where a floating IP is to point: a port that has none yet and goes out by the address's public network."""

    port = PortField(Port.objects.none(), label=_("Instance or port"), empty_label=None)

    def __init__(self, *args: Any, user: Any, floating: FloatingIp, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Port.objects.visible_to(user).filter(
            ~Exists(FloatingIp.objects.filter(port=OuterRef("pk"))),  # the planner takes `floating_ip=None` for a rare thing
            project=floating.project_id, region=floating.region_id, subnet__vpc__pool=floating.pool_id)
        # Those offered are cut off, those accepted are not.
        field = self.fields["port"]
        read_once(field, with_owners(rows).order_by("name", "pk")[:MOST_OFFERED])
        field.queryset = rows


class PortAddressForm(VerbForm):
    """Which floating IP a port gets: one that is idle, or (for those who may) a new one."""

    floating_ip = forms.ModelChoiceField(FloatingIp.objects.none(), label=_("Floating IP"))

    def __init__(self, *args: Any, user: Any, port: Port, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["floating_ip"]
        field.queryset = FloatingIp.objects.visible_to(user).filter(
            project=port.project_id, region=port.region_id, state=FloatingIp.State.IDLE,
            pool=port.subnet.vpc.pool_id).select_related("allocation").order_by("allocation__address")
        field.label_from_instance = lambda row: row.address if row.name == row.address else f"{row.address} – {row.name}"
        may_allocate = user.grants.may("floatingip.manage", port.project_id)
        field.required, field.empty_label = not may_allocate, _("A new address") if may_allocate else None
