"""How a request for instances begins from a template: what it does not say itself is taken from there."""
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from compute.instances.launch_templates.models import LaunchTemplate, LaunchTemplateVersion
from portal.kernel.rest.serializers import DescribedSerializer, VisibleField

GONE = _("What the template names here is gone, or may not be used by you: say another.")
USE = "instance.create"
NO_VERSION = _("The template has no such version.")


def version_of(template: LaunchTemplate, field: serializers.Field, name: str, value: Any) -> LaunchTemplateVersion:
    """The version of this number. Raises ValidationError naming the field."""
    try:
        found = template.versions.filter(number=field.run_validation(value)).first()
    except serializers.ValidationError as error:
        raise serializers.ValidationError({name: error.detail}) from error
    if found is None:
        raise serializers.ValidationError({name: [NO_VERSION]})
    return found


def filled_in(data: dict[str, Any], remembered: dict[str, Any], read: Callable[[Any], Any]) -> dict[str, Any]:
    """What `read` makes of both; `data` goes before. What is wrong with the remembered is no mistake in an id that was sent: a
    plain ValidationError says that it is gone."""
    try:
        return read({**remembered, **data})
    except serializers.ValidationError as error:
        told = {name: detail if name in data or name not in remembered else [GONE] for name, detail in error.detail.items()}
        raise serializers.ValidationError(told) from error


class FromTemplate(DescribedSerializer):
    """Fields that are needed may come from the template instead."""

    template = VisibleField(LaunchTemplate, required=False, help_text="What the request does not say is taken from it.")
    template_version = serializers.IntegerField(min_value=1, required=False, help_text="Without it: its default version.")

    def get_fields(self) -> dict[str, serializers.Field]:
        """The schema says of none that it has to be in the request itself."""
        fields = super().get_fields()
        self.needed = [name for name, field in fields.items() if field.required]
        for name in self.needed:
            fields[name].required = False
        return fields

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        for name, field in self.fields.items():
            field.required = name in self.needed
        if not isinstance(data, dict) or data.get("template") is None:
            return self._without(super().to_internal_value(data))
        try:
            template = self.fields["template"].run_validation(data["template"])
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"template": error.detail}) from error
        # A guest shows the user data to whoever may log in to it, in whichever project it is: seeing the template is not enough.
        grants = self.context["request"].user.grants
        if not grants.allows(USE, template):
            raise grants.refusal(USE, template).about(template)
        version = version_of(template, self.fields["template_version"], "template_version",
                             data.get("template_version", template.default_version))
        place = {"project": str(template.project_id), "region": str(template.region_id)}
        return self._without(filled_in(data, place | version.body, super().to_internal_value))

    def _without(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in ("template", "template_version")}
