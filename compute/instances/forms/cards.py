"""One more network card for an instance: in which subnet, or which port made before. Rules are in the verb."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.cards import Card
from compute.instances.models import Instance
from compute.network.forms import AddressField, PortGroupsForm, read_once
from compute.network.models import Port, Subnet

MOST_OFFERED = 200


class CardForm(PortGroupsForm):
    """A new card in a subnet, or, where the project has any that are free, a port made before."""

    subnet = forms.ModelChoiceField(Subnet.objects.none(), label=_("Subnet"), empty_label=None)
    ip = AddressField(label=_("Address"), required=False, help_text=_("Empty: the next one that is free."))
    port = forms.ModelChoiceField(Port.objects.none(), label=_("Or a port made before"), required=False, empty_label="–",
                                  help_text=_(
        "It keeps its own address and security groups, and goes on to be yours when the card is removed."))
    field_order = ("subnet", "ip", "security_groups", "port")

    def __init__(self, *args: Any, user: Any, instance: Instance, **kwargs: Any) -> None:
        super().__init__(*args, user=user, place=instance, **kwargs)
        here = {"project": instance.project_id, "region": instance.region_id}
        subnets, ports = self.fields["subnet"], self.fields["port"]
        subnets.label_from_instance = lambda subnet: f"{subnet.vpc.name} / {subnet.name} – {subnet.cidr}"
        self.subnets = read_once(subnets, Subnet.objects.visible_to(user).filter(**here).select_related("vpc")
                                 .order_by("vpc__name", "vpc", "cidr"))
        ports.label_from_instance = lambda port: f"{port.name} – {port.ip} ({port.subnet.vpc.name} / {port.subnet.name})"
        rows = Port.objects.visible_to(user).filter(domain=None, **here).select_related("subnet__vpc").order_by("name", "pk")
        free = read_once(ports, rows[:MOST_OFFERED])
        ports.queryset = rows
        if free:
            ports.choices = [("", ports.empty_label), *ports.choices]
            subnets.required = False
        else:
            del self.fields["port"]
        self.initial.setdefault("security_groups", [group for group in self.offered if group.is_default])

    def card(self) -> Card:
        """What is asked for; whoever names a port has not looked at the rest."""
        chosen = self.cleaned_data
        if chosen.get("port"):
            return Card(port=chosen["port"])
        return Card(subnet=chosen["subnet"], ip=chosen["ip"], groups=tuple(chosen["security_groups"]))
