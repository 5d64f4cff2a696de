"""A new instance, as the create page asks for it. Its choices are an `Offer`; shapes are checked here, rules in the verb.

Fields are called as in the API's body, so that a page and a program make the same mistakes.
"""
import random
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from compute.instances.models import SshKey
from compute.instances.networks import MOST_CARDS, Networks
from compute.instances.offers import Offer
from compute.instances.operations import MOST_AT_ONCE, Order
from compute.network.forms import VerbForm
from portal.kernel.errors import InvalidInput
from portal.kernel.fields import NameField, TagsField

LONGEST_USER_DATA = 16384
LONGEST_KEYS = 40_000
LARGEST_DISK_GIB = 65536
# What else can be chosen depends on these two: with a script the page asks again by itself.
OF_SIZE = ("vcpus", "memory_mib")
RELOADING = {"data-reload-on-change": True}
WORDS = ("brook", "canal", "creek", "delta", "fjord", "lagoon", "lake", "marsh", "pond", "rapid", "river", "spring",
         "stream", "tide", "well")


def suggested_name() -> str:
    """Something to keep or to overwrite."""
    return f"{random.choice(WORDS)}-{random.randint(10, 99)}"


class RowField(forms.ChoiceField):
    """One of the rows at hand: nothing is read from the database to check it."""

    default_error_messages = {"invalid_choice": _("Choose one of those that are offered.")}

    def offer(self, rows: Iterable[Model], empty: Any = None) -> None:
        self.rows = {str(row.pk): row for row in rows}
        nothing = [("", empty)] if empty is not None else []
        self.choices = [*nothing, *((pk, self.label_of(row)) for pk, row in self.rows.items())]

    def label_of(self, row: Any) -> str:
        return row.name

    def prepare_value(self, value: Any) -> Any:
        return str(getattr(value, "pk", value)) if value is not None else ""

    def clean(self, value: Any) -> Model | None:
        text = super().clean(self.prepare_value(value))
        return self.rows.get(text)


class ProjectField(RowField):
    def label_of(self, row: Any) -> str:
        return f"{row.organization.name} / {row.name}"


class RowsField(forms.MultipleChoiceField):
    """Any of the rows at hand, in the order in which they are offered."""

    default_error_messages = {"invalid_choice": RowField.default_error_messages["invalid_choice"],
                              "invalid_list": RowField.default_error_messages["invalid_choice"]}
    widget = forms.CheckboxSelectMultiple

    def offer(self, rows: Iterable[Model]) -> None:
        self.rows = {str(row.pk): row for row in rows}
        self.choices = [(pk, row.name) for pk, row in self.rows.items()]

    def prepare_value(self, value: Any) -> Any:
        return [str(getattr(one, "pk", one)) for one in value] if isinstance(value, (list, tuple)) else value

    def clean(self, value: Any) -> tuple[Model, ...]:
        chosen = set(super().clean(self.prepare_value(value)))
        return tuple(row for pk, row in self.rows.items() if pk in chosen)


class OrderForm(VerbForm):
    """What may be chosen is what the offer holds; a region without networks asks for none."""

    CALLED = {"ports": "subnets", "public_key": "public_keys"}
    BLAMED = {**VerbForm.BLAMED, "subnet_full": "subnets"}
    OF_NETWORKS = ("subnets", "security_groups", "floating_ip")
    # What another project or region has others of.
    OF_PLACE = (*OF_NETWORKS, "ssh_keys", "zone", "image")

    project = ProjectField(label=_("Project"), widget=forms.Select(attrs=RELOADING))
    region = RowField(label=_("Region"), widget=forms.Select(attrs=RELOADING))
    zone = RowField(label=_("Zone"), required=False)
    image = RowField(label=_("Image"))
    type = RowField(label=_("Size"))
    vcpus = forms.IntegerField(label=_("vCPUs"), required=False, min_value=1, max_value=4096, help_text=_(
        "Of a custom size; empty: the least of it."))
    memory_mib = forms.IntegerField(label=_("Memory (MiB)"), required=False, min_value=1, max_value=64 * 1024**2,
                                    help_text=_("Of a custom size; empty: the least of it."))
    root_disk_gib = forms.IntegerField(label=_("Root disk (GiB)"), required=False, min_value=1,
                                       max_value=LARGEST_DISK_GIB, help_text=_("Empty: the size's own."))
    subnets = RowsField(label=_("Subnets"), required=False)
    security_groups = RowsField(label=_("Security groups"), required=False,
                                help_text=_("Traffic passes that any of them allows. None chosen: the default group."))
    floating_ip = forms.BooleanField(label=_("Public address"), required=False, help_text=_(
        "A floating IP for each, by which they are reached from outside. It stays yours when an instance is deleted."))
    ssh_keys = RowsField(label=_("SSH keys"), required=False)
    public_keys = forms.CharField(label=_("Another public key"), required=False, max_length=LONGEST_KEYS, help_text=_(
        "It is added to the project's keys under its comment."), widget=forms.Textarea(attrs={
            "rows": 2, "placeholder": "ssh-ed25519 AAAA… me@laptop", "spellcheck": "false", "autocomplete": "off"}))
    user_data = forms.CharField(label=_("User data"), required=False, max_length=LONGEST_USER_DATA, strip=False,
                                widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
                                help_text=_("A script (#!…) or #cloud-config that the guest runs at its first start."))
    name = NameField()
    count = forms.IntegerField(label=_("How many"), required=False, min_value=1, max_value=MOST_AT_ONCE, initial=1,
                               help_text=_("Several are numbered: web-1, web-2 … All of them are made, or none."))
    description = forms.CharField(label=_("Description"), required=False, max_length=500)
    tags = TagsField()
    save_name = NameField(label=_("Name of the template"), required=False)
    template = forms.UUIDField(required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, offer: Offer, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer, self.user = offer, user
        rows = {"project": offer.projects, "region": offer.regions, "image": offer.images, "type": offer.types,
                "subnets": offer.subnets, "security_groups": offer.groups, "ssh_keys": offer.keys}
        for name, found in rows.items():
            self.fields[name].offer(found)
        self.fields["zone"].offer(offer.zones, empty=_("Any zone"))
        may = {name: offer.project is not None and user.grants.may(permission, offer.project.pk) for name, permission in (
            ("floating_ip", "floatingip.manage"), ("public_keys", "sshkey.manage"), ("save_name", "launch_template.create"))}
        gone = {name for name in self.OF_NETWORKS if not offer.has_networks}
        gone |= {name for name, allowed in may.items() if not allowed}
        gone |= set() if any(kind.is_custom for kind in offer.types) else set(OF_SIZE)
        gone |= set() if offer.has_public_network else {"floating_ip"}
        for name in gone:
            del self.fields[name]

    def clean_user_data(self) -> str:
        """Browsers end lines as on paper tape; a script's first line would name a program that does not exist."""
        return self.cleaned_data["user_data"].replace("\r\n", "\n")

    def clean_public_keys(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.cleaned_data["public_keys"].splitlines() if line.strip())

    def clean_subnets(self) -> Sequence[Model]:
        chosen = self.cleaned_data["subnets"]
        if len(chosen) > MOST_CARDS:
            raise ValidationError(_("An instance has at most %(most)s network cards."), params={"most": MOST_CARDS})
        return chosen

    def networks(self) -> Networks:
        chosen = self.cleaned_data
        return Networks(subnets=chosen.get("subnets") or (), groups=chosen.get("security_groups") or None,
                        has_floating_ip=bool(chosen.get("floating_ip")))

    def order(self) -> Order | None:
        """What is asked for; None while too little is chosen to say a price."""
        chosen = self.cleaned_data
        if any(chosen.get(name) is None for name in ("project", "region", "image", "type")):
            return None
        keys: tuple[SshKey, ...] = chosen.get("ssh_keys") or ()
        size = {name: chosen.get(name) for name in OF_SIZE} if chosen["type"].is_custom else {}
        return Order(**size, project=chosen["project"], region=chosen["region"], type=chosen["type"], image=chosen["image"],
                     name=chosen.get("name", ""), zone=chosen.get("zone"), root_disk_gib=chosen.get("root_disk_gib"),
                     ssh_keys=keys, public_keys=chosen.get("public_keys") or (), user_data=chosen.get("user_data", ""),
                     description=chosen.get("description", ""), tags=chosen.get("tags") or {}, networks=self.networks(),
                     count=chosen.get("count") or 1)

    def check(self) -> None:
        """Say beside the fields what the verb would refuse in them, without doing anything."""
        self.is_valid()
        order = self.order()
        if order is not None:
            try:
                order.check()
            except InvalidInput as error:
                self.refuse(error)
