"""What tenants fill in: a new instance, an SSH key, which floating IP goes where. Choices are limited to what the user may see.

Shapes are checked here; rules live in the verbs.
"""
import random
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import ModelChoiceIterator
from django.utils.translation import gettext_lazy as _

from compute.instances.addresses import with_owners
from compute.instances.models import InstanceType, SshKey
from compute.instances.networks import Networks, has_fabric
from compute.instances.operations import MOST_AT_ONCE, Order
from compute.network.addressing import open_pool
from compute.network.forms import GroupsField, VerbForm
from compute.network.models import FloatingIp, Port, Subnet, Vpc
from portal.kernel.fields import NameField
from portal.kernel.models import Region, Zone
from storage.models import Image
from tenants.models import Project
from tenants.quotas import lines

LONGEST_USER_DATA = 16384
LARGEST_DISK_GIB = 65536
# What else can be chosen depends on these two: with a script the page asks again by itself.
RELOADING = forms.Select(attrs={"data-reload-on-change": True})
WORDS = ("brook", "canal", "creek", "delta", "fjord", "lagoon", "lake", "marsh", "pond", "rapid", "river", "spring",
         "stream", "tide", "well")


def suggested_name() -> str:
    """Something to keep or to overwrite."""
    return f"{random.choice(WORDS)}-{random.randint(10, 99)}"


class SubnetChoices(ModelChoiceIterator):
    """Subnets under the names of their VPCs."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self.field.empty_label is not None:
            yield "", self.field.empty_label
        for vpc, subnets in groupby(self.queryset, key=lambda subnet: subnet.vpc):
            yield f"{vpc.name} – {vpc.cidr}", [self.choice(subnet) for subnet in subnets]


class SubnetField(forms.ModelChoiceField):
    """One subnet of a project and region."""

    iterator = SubnetChoices

    def label_from_instance(self, subnet: Subnet) -> str:
        return f"{subnet.name} – {subnet.cidr}"


class OrderForm(VerbForm):
    """A new instance. `user` sees only own projects, images, keys and networks in it; a region without networks asks for none."""

    CALLED = {"subnets": "subnet"}
    OF_NETWORKS = ("subnet", "security_groups", "floating_ip")
    # What another project or region has others of.
    OF_PLACE = (*OF_NETWORKS, "ssh_keys", "zone", "image")

    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), empty_label=None, widget=RELOADING)
    region = forms.ModelChoiceField(Region.objects.none(), label=_("Region"), empty_label=None, widget=RELOADING)
    zone = forms.ModelChoiceField(Zone.objects.none(), label=_("Zone"), required=False, empty_label=_("Any zone"))
    image = forms.ModelChoiceField(Image.objects.none(), label=_("Image"), empty_label=None)
    type = forms.ModelChoiceField(InstanceType.objects.none(), label=_("Size"), empty_label=None)
    root_disk_gib = forms.IntegerField(label=_("Root disk (GiB)"), required=False, min_value=1,
                                       max_value=LARGEST_DISK_GIB, help_text=_("Empty: what the size brings."))
    name = NameField()
    count = forms.IntegerField(label=_("How many"), required=False, min_value=1, max_value=MOST_AT_ONCE, initial=1,
                               help_text=_("Several are numbered: web-1, web-2 … All of them are made, or none."))
    subnet = SubnetField(Subnet.objects.none(), label=_("Subnet"), required=False,
                         empty_label=_("Default network (made with the first instance)"))
    security_groups = GroupsField(help_text=_("What any of them allows, passes. None chosen: the default group."))
    floating_ip = forms.BooleanField(label=_("Public address"), required=False, help_text=_(
        "A floating IP for each, by which they are reached from outside. It stays yours when an instance is deleted."))
    ssh_keys = forms.ModelMultipleChoiceField(SshKey.objects.none(), label=_("SSH keys"), required=False,
                                              widget=forms.CheckboxSelectMultiple)
    user_data = forms.CharField(label=_("User data"), required=False, max_length=LONGEST_USER_DATA, strip=False,
                                widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
                                help_text=_("A script (#!…) or #cloud-config that the guest runs at its first start."))

    def __init__(self, *args: Any, user: Any, project: Project | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = {"user": user, "project": project}
        projects = Project.objects.visible_to(user, "instance.create")
        self.fields["project"].queryset = projects.select_related("organization")
        self.fields["region"].queryset = Region.objects.filter(is_open=True)
        self.fields["zone"].queryset = Zone.objects.filter(is_open=True, region__is_open=True).select_related("region")
        self.fields["image"].queryset = (Image.objects.visible_to(user).filter(state=Image.State.ACTIVE)
                                         .select_related("region").order_by("name", "pk"))
        self.fields["type"].queryset = InstanceType.objects.filter(is_offered=True)
        keys = SshKey.objects.visible_to(user)
        self.fields["ssh_keys"].queryset = (keys.filter(project=project) if project else keys).order_by("name", "pk")
        self.place = self._region()
        self._offer_networks(user, project, self.place)

    def _region(self) -> Region | None:
        """The one chosen so far; None when what was sent is none."""
        try:
            return self.fields["region"].clean(self["region"].value())
        except ValidationError:
            return None

    def _offer_networks(self, user: Any, project: Project | None, region: Region | None) -> None:
        self.has_networks = region is not None and project is not None and has_fabric(region)
        if not self.has_networks:
            for name in self.OF_NETWORKS:
                del self.fields[name]
            return
        subnets = Subnet.objects.visible_to(user).filter(project=project, region=region).select_related("vpc")
        self.fields["subnet"].queryset = subnets.order_by("-vpc__is_default", "vpc__name", "vpc", "cidr")
        if Vpc.objects.live().filter(project=project, region=region, is_default=True).exists():
            self.fields["subnet"].empty_label = _("Default network")
        self.fields["security_groups"].offer(user, project.pk, region.pk)
        if open_pool(region) is None or not user.grants.may("floatingip.manage", project.pk):
            del self.fields["floating_ip"]

    def network_defaults(self) -> dict[str, object]:
        """What is chosen at first: the default subnet and group, and an address while the quota has one."""
        if not self.has_networks:
            return {}
        subnet = self.fields["subnet"].queryset.filter(vpc__is_default=True).order_by("created_at", "pk").first()
        groups = self.fields["security_groups"].queryset.filter(is_default=True)
        return {"subnet": subnet and subnet.pk, "security_groups": list(groups.values_list("pk", flat=True)),
                "floating_ip": "floating_ip" in self.fields and all(
                    line.fits for line in lines(self.scope["project"], self.place, {"floating_ips": 1}))}

    def networks(self) -> Networks:
        chosen = self.cleaned_data
        subnet, groups = chosen.get("subnet"), tuple(chosen.get("security_groups") or ())
        return Networks(subnets=(subnet,) if subnet else (), groups=groups or None,
                        has_floating_ip=bool(chosen.get("floating_ip")))

    def order(self) -> Order | None:
        """What is asked for; None while too little is chosen to say a price."""
        chosen = self.cleaned_data
        if any(chosen.get(name) is None for name in ("project", "region", "image", "type")):
            return None
        return Order(project=chosen["project"], region=chosen["region"], type=chosen["type"], image=chosen["image"],
                     name=chosen.get("name", ""), zone=chosen.get("zone"), root_disk_gib=chosen.get("root_disk_gib"),
                     ssh_keys=tuple(chosen.get("ssh_keys") or ()), user_data=chosen.get("user_data", ""),
                     networks=self.networks(), count=chosen.get("count") or 1)


class KeyForm(forms.Form):
    """A public key that somebody pastes."""

    name = NameField()
    public_key = forms.CharField(label=_("Public key"), max_length=8192, widget=forms.Textarea(attrs={
        "rows": 4, "placeholder": "ssh-ed25519 AAAA…", "spellcheck": "false"}))


class NewKeyForm(forms.Form):
    """A pair that the portal generates."""

    name = NameField()


class PortField(forms.ModelChoiceField):
    """A port by its instance's name."""

    def label_from_instance(self, port: Port) -> str:
        return f"{port.owner or port.name} – {port.ip} ({port.subnet.vpc.name} / {port.subnet.name})"


class AssociateForm(VerbForm):
    """Where a floating IP is to point: a port that has none yet and goes out by the address's public network."""

    port = PortField(Port.objects.none(), label=_("Instance or port"), empty_label=None)

    def __init__(self, *args: Any, user: Any, floating: FloatingIp, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Port.objects.visible_to(user).filter(project=floating.project_id, region=floating.region_id, floating_ip=None,
                                                    subnet__vpc__pool=floating.pool_id)
        self.fields["port"].queryset = with_owners(rows).order_by("owner", "position", "ip")


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
