"""Choices of one among many are drawn as Django draws them, without a template for each option."""
import pytest
from django import forms
from django.forms.renderers import TemplatesSetting
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from portal.kernel.selects import QuickSelects


class Marked(forms.Select):
    option_template_name = "django/forms/widgets/input_option.html"


CHOICES = [("", "None"), ("a<b", "<i>&"), (1234567, 1234567), ("safe", mark_safe("<b>bold</b>")),
           (gettext_lazy("Group & co"), [("x", gettext_lazy("Save")), ('"', "'")])]


@pytest.mark.parametrize("widget", [
    forms.Select(choices=CHOICES), forms.SelectMultiple(choices=CHOICES), forms.Select(choices=[]), Marked(choices=CHOICES),
    forms.Select(attrs={"class": 'a"b', "required": True, "disabled": False, "size": 1200}, choices=CHOICES)])
@pytest.mark.parametrize("value", ["a<b", "1234567", '"', None, ["x", "safe"]])
def test_a_select_is_what_djangos_template_makes_of_it(widget: forms.Select, value: object) -> None:
    theirs, ours = (widget.render("many<", value, {"id": "id_x"}, renderer) for renderer in (TemplatesSetting(), QuickSelects()))
    assert ours == theirs
