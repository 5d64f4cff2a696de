"""What is asked before a password in a guest is reset."""
from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances import hashing, passwords
from compute.network.forms import VerbForm

HIDDEN = {"autocomplete": "new-password", "spellcheck": "false"}


class ResetPasswordForm(VerbForm):
    """Of whom, and which; none is one that is made."""

    user = forms.CharField(label=_("User"), max_length=passwords.LONGEST_USER, validators=[passwords.USER],
                           initial=passwords.USUAL_USER, help_text=_("Who has an account in the guest."))
    password = forms.CharField(
        label=_("New password"), required=False, min_length=hashing.SHORTEST, max_length=hashing.LONGEST,
        validators=[hashing.PASSWORD], help_text=_("Empty: one is made, and shown once."),
        widget=forms.PasswordInput(attrs=HIDDEN))

    def clean_password(self) -> str:
        return self.cleaned_data["password"] or hashing.generate()
