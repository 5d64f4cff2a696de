"""Form fields that every room shares. Rules of one room live in its own `forms.py`."""
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

LONGEST_NAME = 100


def check_one_line(value: str) -> None:
    """Refuse line breaks, control and invisible characters: they would make names that nobody can tell apart."""
    if not value.isprintable():
        raise ValidationError(_("Only printable characters, on one line."), code="not_printable")


class NameField(forms.CharField):
    """A name that a person gives to something."""

    def __init__(self, **options: object) -> None:
        options = {"label": _("Name"), "max_length": LONGEST_NAME} | options
        super().__init__(**options)
        self.validators.append(check_one_line)
