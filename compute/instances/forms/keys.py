"""What tenants fill in for an SSH key."""
from django import forms
from django.utils.translation import gettext_lazy as _

from portal.kernel.fields import NameField


class KeyForm(forms.Form):
    """A public key that somebody pastes."""

    name = NameField()
    public_key = forms.CharField(label=_("Public key"), max_length=8192, widget=forms.Textarea(attrs={
        "rows": 4, "placeholder": "ssh-ed25519 AAAA…", "spellcheck": "false"}))


class NewKeyForm(forms.Form):
    """A pair that the portal generates."""

    name = NameField()
