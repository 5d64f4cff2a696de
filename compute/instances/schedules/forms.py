"""What people fill in for a schedule. Shapes are checked here; rules live in the verbs."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance, InstanceSchedule
from compute.instances.schedules import cron
from compute.instances.schedules.verbs import MANAGE
from compute.network.forms import VerbForm, read_once
from portal.kernel.fields import NameField
from portal.kernel.timezones import time_zones
from tenants.models import Project

MOST_OFFERED = 500


class ScheduleForm(VerbForm):
    """What is done to which instances, and when. A schedule that there is stays in its project."""

    CALLED = {"tag_key": "tag", "tag_value": "tag"}
    name = NameField()
    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), empty_label=None)
    verb = forms.ChoiceField(label=_("What is done"), choices=InstanceSchedule.Verb.choices)
    instance = forms.ModelChoiceField(Instance.objects.none(), label=_("Instance"), required=False,
                                      empty_label=_("All with the tag below"))
    tag = forms.CharField(label=_("Tag"), required=False, max_length=261, help_text=_(
        "As key:value, or a key alone for any value of it. What bears the tag at that moment counts."),
        widget=forms.TextInput(attrs={"placeholder": "env:test", "autocomplete": "off", "spellcheck": "false"}))
    cron = forms.CharField(label=_("When"), max_length=cron.LONGEST, initial="0 20 * * 1-5", help_text=_(
        "Minute, hour, day of the month, month, day of the week: 0 20 * * 1-5 is 20:00 from Monday to Friday. At least five "
        "minutes apart."), widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))
    time_zone = forms.ChoiceField(label=_("Time zone"), initial="UTC")

    def __init__(self, *args: Any, user: Any, project: Project | None = None, schedule: InstanceSchedule | None = None,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].choices = [(name, name) for name in sorted(time_zones())]
        projects = Project.objects.visible_to(user, MANAGE).select_related("organization")
        instances = Instance.objects.visible_to(user, MANAGE).select_related("project").only("kind", "name", "project__name")
        if schedule is not None:
            del self.fields["project"]
            instances = instances.filter(project=schedule.project_id)
            self.initial = {name: getattr(schedule, name) for name in ("name", "verb", "instance", "tag", "cron", "time_zone")}
        else:
            read_once(self.fields["project"], projects)
            self.initial = {"project": project} | self.initial
        field = self.fields["instance"]
        field.queryset = instances
        field.choices = [("", field.empty_label), *((row.pk, row.name if schedule else f"{row.name} – {row.project.name}")
                                                    for row in instances.order_by("name", "pk")[:MOST_OFFERED])]

    def values(self) -> dict[str, Any]:
        """For the verbs."""
        chosen = dict(self.cleaned_data)
        key, _colon, value = chosen.pop("tag").partition(":")
        return chosen | {"tag_key": key.strip(), "tag_value": value.strip()}
