"""Form fields that every room shares. Rules of one room live in its own `forms.py`."""
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portal.kernel.names import LONGEST, NAME_RULE, is_name


def check_name(value: str) -> None:
    """Refuse what would make names that nobody can tell apart, or that break other programs."""
    if not is_name(value):
        raise ValidationError(NAME_RULE, code="not_a_name")


class NameField(forms.CharField):
    """A name that a person gives to something."""

    def __init__(self, **options: object) -> None:
        options = {"label": _("Name"), "max_length": LONGEST} | options
        super().__init__(**options)
        self.validators.append(check_name)
