"""Forms of pages that join rooms: a new API key."""
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import registry
from portal.kernel.fields import NameField
from tenants.models import Project

DAYS = [("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("", _("never"))]


class ApiKeyForm(forms.Form):
    """What a program may do with the key, where, and for how long."""

    name = NameField(help_text=_("What will use it, for example “backup script”."))
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), required=False,
                                     empty_label=_("All of my projects"))
    scopes = forms.MultipleChoiceField(label=_("Permissions"), required=False, widget=forms.CheckboxSelectMultiple,
                                       help_text=_("None chosen: all that you may do yourself."))
    days = forms.ChoiceField(label=_("Expires after"), required=False, choices=DAYS, initial="90")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.visible_to(user).select_related("organization")
        permissions = sorted(registry.permissions.items())
        self.fields["scopes"].choices = [(name, declared.label) for name, declared in permissions]

    def key_options(self) -> dict[str, object]:
        """For `tenants.operations.create_api_key`."""
        chosen = self.cleaned_data
        days = chosen["days"]
        return {"name": chosen["name"], "project": chosen["project"], "scopes": chosen["scopes"],
                "expires_at": timezone.now() + timedelta(days=int(days)) if days else None}
