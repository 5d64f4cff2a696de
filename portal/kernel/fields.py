"""Form fields that every room shares. Rules of one room live in its own `forms.py`."""
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portal.kernel.names import LONGEST, MOST_TAGS, NAME_RULE, are_tags, is_name


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


class TagsField(forms.CharField):
    """Tags, one a line as `key: value`; a line without a colon may have `=` instead."""

    def __init__(self, **options: Any) -> None:
        options = {"label": _("Tags"), "required": False, "max_length": 20_000, "widget": forms.Textarea(attrs={
            "rows": 2, "spellcheck": "false", "placeholder": "env: production"}),
            "help_text": _("One a line, as key: value.")} | options
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{key}: {text}" for key, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        found = dict(map(_tag_of, filter(str.strip, super().to_python(value).splitlines())))
        if not are_tags(found):
            raise ValidationError(_("At most %(most)s tags; keys up to 60 characters, values up to 200."), code="not_tags",
                                  params={"most": MOST_TAGS})
        return found

    def run_validators(self, value: Any) -> None:
        """What is checked of text was checked before it became tags."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(initial or {}) != self.to_python(data or "")
        except ValidationError:
            return True


def _tag_of(line: str) -> tuple[str, str]:
    key, _mark, text = line.partition(":" if ":" in line else "=")
    return key.strip(), text.strip()
