"""What tenants fill in: a new instance, an SSH key. Choices are limited to what the user may see.

Shapes are checked here; rules live in the verbs.
"""
import random
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.models import InstanceType, SshKey
from compute.instances.operations import Order
from portal.kernel.fields import NameField
from portal.kernel.models import Region, Zone
from storage.models import Image
from tenants.models import Project

LONGEST_USER_DATA = 16384
LARGEST_DISK_GIB = 65536
WORDS = ("brook", "canal", "creek", "delta", "fjord", "lagoon", "lake", "marsh", "pond", "rapid", "river", "spring",
         "stream", "tide", "well")


def suggested_name() -> str:
    """Something to keep or to overwrite."""
    return f"{random.choice(WORDS)}-{random.randint(10, 99)}"


class OrderForm(forms.Form):
    """A new instance. `user` sees only own projects, images and keys in it."""

    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), empty_label=None)
    region = forms.ModelChoiceField(Region.objects.none(), label=_("Region"), empty_label=None)
    zone = forms.ModelChoiceField(Zone.objects.none(), label=_("Zone"), required=False, empty_label=_("Any zone"))
    image = forms.ModelChoiceField(Image.objects.none(), label=_("Image"), empty_label=None)
    type = forms.ModelChoiceField(InstanceType.objects.none(), label=_("Size"), empty_label=None)
    root_disk_gib = forms.IntegerField(label=_("Root disk (GiB)"), required=False, min_value=1,
                                       max_value=LARGEST_DISK_GIB, help_text=_("Empty: what the size brings."))
    name = NameField()
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

    def order(self) -> Order | None:
        """What is asked for; None while too little is chosen to say a price."""
        chosen = self.cleaned_data
        if any(chosen.get(name) is None for name in ("project", "region", "image", "type")):
            return None
        return Order(project=chosen["project"], region=chosen["region"], type=chosen["type"], image=chosen["image"],
                     name=chosen.get("name", ""), zone=chosen.get("zone"), root_disk_gib=chosen.get("root_disk_gib"),
                     ssh_keys=tuple(chosen.get("ssh_keys") or ()), user_data=chosen.get("user_data", ""))

    def refuse(self, errors: dict[str, list[str]]) -> None:
        """Errors that the verb found, beside their fields."""
        for name, texts in errors.items():
            self.add_error(name if name in self.fields else None, list(map(str, texts)))


class KeyForm(forms.Form):
    """A public key that somebody pastes."""

    name = NameField()
    public_key = forms.CharField(label=_("Public key"), max_length=8192, widget=forms.Textarea(attrs={
        "rows": 4, "placeholder": "ssh-ed25519 AAAA…", "spellcheck": "false"}))


class NewKeyForm(forms.Form):
    """A pair that the portal generates."""

    name = NameField()
