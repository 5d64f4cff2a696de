"""How forms draw themselves: by templates, but for choices of one among many.

Django draws each option by three templates: hundreds of instances or time zones took longer than all the rest of a page.
"""
from html import escape
from typing import Any

from django.forms.renderers import TemplatesSetting
from django.utils.formats import localize
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

SELECT, OPTION = "django/forms/widgets/select.html", "django/forms/widgets/select_option.html"


class QuickSelects(TemplatesSetting):
    """The same HTML as Django's own template of a select, sooner."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> SafeString:
        if template_name != SELECT or not _is_plain(context["widget"]):
            return super().render(template_name, context, request)
        widget = context["widget"]
        groups = "".join(_group(name, options) for name, options, _place in widget["optgroups"])
        return format_html('<select name="{}"{}>{}\n</select>', widget["name"], _attributes(widget["attrs"]), SafeString(groups))


def _is_plain(widget: dict[str, Any]) -> bool:
    return all(option["template_name"] == OPTION for _name, options, _place in widget["optgroups"] for option in options)


def _group(name: Any, options: list[dict[str, Any]]) -> str:
    drawn = "".join(map(_option, options))
    return f'\n  <optgroup label="{_escaped(name)}">{drawn}\n  </optgroup>' if name else drawn


def _option(option: dict[str, Any]) -> str:
    return (f'\n  <option value="{_escaped(str(option["value"]))}"{_attributes(option["attrs"])}>'
            f"{_escaped(option['label'])}</option>")


def _attributes(attributes: dict[str, Any]) -> SafeString:
    """Those that are True stand alone, those that are False are left out."""
    return SafeString("".join(f" {_escaped(name)}" if value is True else f' {_escaped(name)}="{_escaped(str(value))}"'
                              for name, value in attributes.items() if value is not False))


def _escaped(value: Any) -> str:
    """As templates do; nearly all of them are plain text."""
    return escape(value) if type(value) is str else conditional_escape(localize(value))
