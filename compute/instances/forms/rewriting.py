"""What rescue and rebuild ask for. Fields are called as in the API's body; rules are in the verbs."""
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from compute.instances import rescuing
from compute.instances.forms.orders import LONGEST_USER_DATA, RowField, RowsField
from compute.instances.models import Instance, SshKey
from compute.instances.offers import images_of
from compute.network.forms import VerbForm


class RescueForm(VerbForm):
    """The image that it boots from; those that operators offer for it stand first."""

    image = RowField(label=_("Rescue image"), help_text=_(
        "Best another one than its own: two disks made from one image are easily mistaken for each other."))

    force = forms.BooleanField(label=_("Do not wait for the guest: cut the power at once"), required=False)

    def __init__(self, *args: Any, instance: Instance, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        images = sorted(images_of(user, instance.project, instance.region), key=lambda image: not image.is_for_rescue)
        self.fields["image"].offer(images)
        self.initial.setdefault("image", rescuing.default_image(user, instance))

    def wishes(self) -> dict[str, Any]:
        return {"image": self.cleaned_data["image"], "force": self.cleaned_data["force"]}


class RebuildForm(VerbForm):
    """The image, and what the new guest is told; what is left empty it keeps."""

    image = RowField(label=_("Image"))
    ssh_keys = RowsField(label=_("SSH keys"), required=False, help_text=_("None chosen: it keeps those that it has."))
    user_data = forms.CharField(label=_("User data"), required=False, max_length=LONGEST_USER_DATA, strip=False,
                                widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
                                help_text=_("A script (#!…) or #cloud-config. Empty: it keeps what it has."))
    typed_name = forms.CharField(label=_("Type the name to confirm:"), widget=forms.TextInput(attrs={
        "autocomplete": "off", "spellcheck": "false"}))

    def __init__(self, *args: Any, instance: Instance, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance = instance
        images = {image.pk: image for image in [instance.image, *images_of(user, instance.project, instance.region)]}
        self.fields["image"].offer(images.values())
        self.fields["ssh_keys"].offer(SshKey.objects.visible_to(user).filter(project=instance.project_id).order_by("name", "pk"))
        self.initial.setdefault("image", instance.image)
        self.fields["typed_name"].help_text = instance.name

    def clean_user_data(self) -> str:
        """Browsers end lines as on paper tape."""
        return self.cleaned_data["user_data"].replace("\r\n", "\n")

    def clean_typed_name(self) -> str:
        typed = self.cleaned_data["typed_name"].strip()
        if typed != self.instance.name.strip():
            raise ValidationError(_("This is not the name of the instance."))
        return typed

    def wishes(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        return {"image": chosen["image"], "ssh_keys": chosen["ssh_keys"] or None, "user_data": chosen["user_data"] or None}
