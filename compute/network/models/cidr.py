"""A network in CIDR notation as a column: `ipaddress.IPv4Network` in Python, `cidr` in PostgreSQL."""
from ipaddress import IPv4Network

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

NOT_A_NETWORK = _("This is not an IPv4 network such as 10.0.0.0/24 (no bits may be set behind the prefix).")


def parse_cidr(text: str) -> IPv4Network:
    """The network that was typed. Raises ValidationError; host bits are a mistake, never rounded off."""
    try:
        return IPv4Network(str(text).strip())
    except ValueError as error:
        raise ValidationError(NOT_A_NETWORK, code="not_a_network") from error


class CidrField(models.Field):
    """IPv4 only, as is the whole of `network` for now."""

    description = "IPv4 network"

    def db_type(self, connection: object) -> str:
        return "cidr"

    def from_db_value(self, value: str | None, expression: object, connection: object) -> IPv4Network | None:
        return None if value is None else IPv4Network(value)

    def to_python(self, value: object) -> IPv4Network | None:
        return value if value is None or isinstance(value, IPv4Network) else parse_cidr(str(value))

    def get_prep_value(self, value: object) -> str | None:
        return None if value is None else str(value)

    def value_to_string(self, obj: object) -> str:
        return str(self.value_from_object(obj))

    def formfield(self, **options: object) -> forms.Field:
        return super().formfield(**{"form_class": CidrFormField} | options)


class CidrFormField(forms.CharField):
    """What a person types."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"max_length": 18} | options)

    def to_python(self, value: object) -> IPv4Network | None:
        if isinstance(value, IPv4Network):
            return value
        text = super().to_python(value)
        return parse_cidr(text) if text else None

    def run_validators(self, value: object) -> None:
        """CharField's own look at text."""
        super().run_validators("" if value is None else str(value))
