"""What tenants fill in: VPCs, subnets, ports, security groups and their rules. Choices are limited to what the user may see.

Shapes are checked here; rules live in the verbs.
"""
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.network.models import SecurityGroup, SecurityGroupRule, Subnet, Vpc
from compute.network.models.cidr import CidrFormField
from compute.network.operations.vpcs import DEFAULT_CIDR
from portal.kernel import forms as kernel
from portal.kernel.errors import Forbidden, PortalError
from portal.kernel.fields import NameField
from portal.kernel.models import Region
from tenants.models import Project

FIRST_SUBNET_PREFIX = 20
MOST_NAME_SERVERS = 4
Direction, Protocol = SecurityGroupRule.Direction, SecurityGroupRule.Protocol
CUSTOM = "custom"
# What people ask for by name.
PRESETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ssh": ("SSH (TCP 22)", {"protocol": Protocol.TCP, "port_min": 22, "port_max": 22}),
    "http": ("HTTP (TCP 80)", {"protocol": Protocol.TCP, "port_min": 80, "port_max": 80}),
    "https": ("HTTPS (TCP 443)", {"protocol": Protocol.TCP, "port_min": 443, "port_max": 443}),
    "ping": (_("Ping (ICMP)"), {"protocol": Protocol.ICMP}),
    "rdp": ("RDP (TCP 3389)", {"protocol": Protocol.TCP, "port_min": 3389, "port_max": 3389}),
    "tcp": (_("All TCP"), {"protocol": Protocol.TCP}),
    "any": (_("All traffic"), {"protocol": Protocol.ANY}),
    CUSTOM: (_("Something else …"), {}),
}
REMOTES = [("anywhere", _("Anywhere")), ("cidr", _("A network")), ("group", _("A security group"))]


class VerbForm(kernel.VerbForm):
    """As everywhere; conflicts are said too, beside a field where they are about one."""

    # Conflicts that are about one field; others are said above the form.
    BLAMED: Mapping[str, str] = {
        "cidr_overlaps": "cidr", "address_in_use": "ip", "subnet_full": "subnet", "address_pool_full": "floating_ip",
        "no_public_network": "floating_ip"}
    refused: PortalError | None = None

    def carried_out(self, verb: Callable[[], object]) -> bool:
        """Whether what was sent fits and the verb did it; its answer is in `made`."""
        if not self.is_valid():
            return False
        try:
            self.made = verb()
        except Forbidden:
            raise
        except PortalError as error:
            self.refuse(error)
        return self.refused is None

    def refuse(self, error: PortalError) -> None:
        self.refused = error
        blamed = self.BLAMED.get(error.code)
        self.blame(error.errors or ({blamed: [error.detail]} if blamed in self.fields else {}))

    @property
    def conflict(self) -> PortalError | None:
        """What was refused and is about no field."""
        return self.refused if self.refused is not None and not self.errors else None

    @property
    def status(self) -> int:
        """The answer's: the form as it was asked for, with mistakes, or refused."""
        return self.refused.status if self.refused else 400 if self.is_bound and not self.is_valid() else 200


class PlacedForm(VerbForm):
    """Something new in a project, in a region that has networks."""

    PERMISSION = ""
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), empty_label=None)
    region = forms.ModelChoiceField(Region.objects.none(), label=_("Region"), empty_label=None)

    def __init__(self, *args: Any, user: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = Project.objects.visible_to(user, self.PERMISSION).select_related("organization")
        found = {"project": read_once(self.fields["project"], projects),
                 "region": read_once(self.fields["region"], networked_regions())}
        self.initial = {"project": project.pk, "region": next(iter(found["region"]), None)} | self.initial
        for name, rows in found.items():
            if len(rows) < 2:  # nothing to choose
                self.fields[name].widget = forms.HiddenInput()


def networked_regions():
    return Region.objects.filter(is_open=True, fabric__isnull=False)


def read_once(field: forms.ModelChoiceField, rows: QuerySet) -> list[Any]:
    """Offer the rows, read now: left to itself a field reads them anew whenever it is looked at."""
    field.queryset = rows
    found = list(rows)
    field.choices = [(row.pk, field.label_from_instance(row)) for row in found]
    return found


class AddressField(forms.CharField):
    """One IPv4 address."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 15} | options)

    def to_python(self, value: Any) -> IPv4Address | None:
        text = super().to_python(value)
        return address_of(text) if text else None

    def run_validators(self, value: Any) -> None:
        """CharField's own look at text."""
        super().run_validators("" if value is None else str(value))


class AddressesField(forms.CharField):
    """Several, with commas or spaces between them."""

    def to_python(self, value: Any) -> tuple[IPv4Address, ...]:
        found = tuple(map(address_of, super().to_python(value).replace(",", " ").split()))
        if len(found) > MOST_NAME_SERVERS:
            raise ValidationError(_("At most %(most)s addresses."), params={"most": MOST_NAME_SERVERS})
        return found


def address_of(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise ValidationError(_("This is not an IPv4 address such as 10.0.0.5."), code="not_an_address") from error


class VpcForm(PlacedForm):
    """A VPC with its first subnet."""

    PERMISSION = "vpc.manage"
    name = NameField()
    cidr = CidrFormField(label=_("Range"), initial=DEFAULT_CIDR,
                         help_text=_("A private range, /16 to /28. It may be the same as in other VPCs: they never meet."))
    subnet_name = NameField(label=_("First subnet"), initial="default")
    subnet_cidr = CidrFormField(label=_("Range of the first subnet"), required=False,
                                help_text=_("Empty: the first /20 of the network, or all of a smaller one."))

    def first_range(self) -> IPv4Network:
        """What the first subnet gets."""
        cidr = self.cleaned_data["cidr"]
        if self.cleaned_data["subnet_cidr"] is not None:
            return self.cleaned_data["subnet_cidr"]
        return cidr if cidr.prefixlen >= FIRST_SUBNET_PREFIX else next(cidr.subnets(new_prefix=FIRST_SUBNET_PREFIX))


class SubnetForm(VerbForm):
    """One more range of a VPC."""

    name = NameField()
    cidr = CidrFormField(label=_("Range"))
    gateway = AddressField(label=_("Gateway"), required=False, help_text=_("Empty: the first address of the range."))
    dhcp = forms.BooleanField(label=_("Give out addresses by DHCP"), required=False, initial=True)
    dns = AddressesField(label=_("Name servers"), required=False, help_text=_(
        "With commas between them. Empty: the gateway, which knows the names of this VPC's instances."))


class GroupsField(forms.ModelMultipleChoiceField):
    """Security groups of one project and region, to be ticked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(SecurityGroup.objects.none(), **{
            "label": _("Security groups"), "required": False, "widget": forms.CheckboxSelectMultiple} | options)

    def offer(self, user: Any, project_id: Any, region_id: Any) -> list[SecurityGroup]:
        rows = SecurityGroup.objects.visible_to(user).filter(project=project_id, region=region_id)
        return read_once(self, rows.order_by("-is_default", "name", "pk"))


class PortGroupsForm(VerbForm):
    """Which security groups a port has."""

    security_groups = GroupsField(help_text=_("Traffic passes that any of them allows. Without a group nothing passes."))

    def __init__(self, *args: Any, user: Any, place: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = self.fields["security_groups"].offer(user, place.project_id, place.region_id)


class PortForm(PortGroupsForm):
    """A port that an instance may be given later."""

    name = NameField()
    subnet = forms.ModelChoiceField(Subnet.objects.none(), label=_("Subnet"), empty_label=None)
    ip = AddressField(label=_("Address"), required=False, help_text=_("Empty: the next one that is free."))
    field_order = ("name", "subnet", "ip", "security_groups")

    def __init__(self, *args: Any, user: Any, vpc: Vpc, **kwargs: Any) -> None:
        super().__init__(*args, user=user, place=vpc, **kwargs)
        self.fields["subnet"].label_from_instance = lambda subnet: f"{subnet.name} – {subnet.cidr}"
        read_once(self.fields["subnet"], Subnet.objects.visible_to(user).filter(vpc=vpc).order_by("cidr"))
        self.initial.setdefault("security_groups", [group for group in self.offered if group.is_default])


class GroupForm(PlacedForm):
    """A security group."""

    PERMISSION = "securitygroup.manage"
    name = NameField()
    description = forms.CharField(label=_("Description"), required=False, max_length=500)


class FloatingIpForm(PlacedForm):
    """A public address."""

    PERMISSION = "floatingip.manage"
    name = NameField(required=False, help_text=_("Empty: the address itself."))


class RuleForm(VerbForm):
    """One permission more, by name or in numbers."""

    direction = forms.ChoiceField(label=_("Direction"), choices=Direction.choices, initial=Direction.INGRESS)
    preset = forms.ChoiceField(label=_("What"), choices=[(name, label) for name, (label, _rule) in PRESETS.items()])
    protocol = forms.ChoiceField(label=_("Protocol"), choices=Protocol.choices, required=False, initial=Protocol.TCP)
    port_min = forms.IntegerField(label=_("From port"), required=False, min_value=1, max_value=65535)
    port_max = forms.IntegerField(label=_("To port"), required=False, min_value=1, max_value=65535)
    remote = forms.ChoiceField(label=_("From or to"), choices=REMOTES, initial="anywhere")
    remote_cidr = CidrFormField(label=_("Network"), required=False, widget=forms.TextInput(attrs={
        "placeholder": "198.51.100.7/32"}))
    remote_group = forms.ModelChoiceField(SecurityGroup.objects.none(), label=_("Security group"), required=False,
                                          empty_label=None)
    description = forms.CharField(label=_("Description"), required=False, max_length=200)

    def __init__(self, *args: Any, user: Any, group: SecurityGroup, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = SecurityGroup.objects.visible_to(user).filter(project=group.project_id, region=group.region_id)
        read_once(self.fields["remote_group"], rows.order_by("name", "pk"))

    def clean(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        needed = {"cidr": "remote_cidr", "group": "remote_group"}.get(chosen.get("remote", ""))
        if needed and not chosen.get(needed) and needed not in self.errors:
            self.add_error(needed, _("Say which one."))
        if chosen.get("preset") == CUSTOM and not chosen.get("protocol") and "protocol" not in self.errors:
            self.add_error("protocol", _("Say which one."))
        return chosen

    def rule(self) -> dict[str, Any]:
        """For the verb; what is not shown for the chosen preset and remote does not count."""
        chosen = self.cleaned_data
        what = PRESETS[chosen["preset"]][1] or {name: chosen[name] for name in ("protocol", "port_min", "port_max")}
        remote: dict[str, Any] = {}
        if chosen["remote"] == "group":
            remote = {"remote_group": chosen["remote_group"]}
        elif chosen["remote"] == "cidr" and chosen["remote_cidr"].prefixlen:  # all of the internet is anywhere
            remote = {"remote_cidr": chosen["remote_cidr"]}
        return {"direction": chosen["direction"], "description": chosen["description"], **what, **remote}
