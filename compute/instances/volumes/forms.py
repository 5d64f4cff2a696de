"""What tenants fill in: a new volume, how large one gets, where it goes. Fields are called as in the API's body; rules are in the
verbs."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.instances.models import HEAVY, Instance
from compute.instances.volumes.places import READY
from compute.instances.volumes.verbs import LARGEST_GIB
from compute.network.forms import VerbForm, read_once
from portal.kernel.fields import NameField
from portal.kernel.models import Region, Zone
from storage.models import Volume
from tenants.models import Project

FIRST_GIB = 20
MOST_OFFERED = 200
# The price beside the form follows the size.
FOLLOWED = {"hx-get": "", "hx-trigger": "input changed delay:300ms", "hx-select": ".summary", "hx-target": ".summary",
            "hx-swap": "outerHTML", "hx-sync": "this:replace"}


class SizeField(forms.IntegerField):
    """GiB."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"label": _("Size (GiB)"), "min_value": 1, "max_value": LARGEST_GIB,
                            "widget": forms.NumberInput(attrs=dict(FOLLOWED))} | options)


class VolumeForm(VerbForm):
    """A volume for an instance, or one that lies where there is most room."""

    BLAMED = {**VerbForm.BLAMED, "no_capacity": "size_gib"}

    project = forms.ModelChoiceField(Project.objects.none(), label=_("Project"), empty_label=None)
    region = forms.ModelChoiceField(Region.objects.none(), label=_("Region"), empty_label=None)
    zone = forms.ModelChoiceField(Zone.objects.none(), label=_("Zone"), required=False, empty_label=_("Any"))
    name = NameField()
    size_gib = SizeField(initial=FIRST_GIB)
    description = forms.CharField(label=_("Description"), required=False, max_length=500,
                                  widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, user: Any, project: Project, instance: Instance | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects, regions = Project.objects.visible_to(user, "volume.create"), Region.objects.filter(is_open=True)
        if instance is not None:  # it lies where that one does
            projects, regions = projects.filter(pk=instance.project_id), regions.filter(pk=instance.region_id)
            del self.fields["zone"]
        found = {"project": read_once(self.fields["project"], projects.select_related("organization")),
                 "region": read_once(self.fields["region"], regions.order_by("name"))}
        if "zone" in self.fields:
            zones = Zone.objects.filter(region__in=found["region"]).select_related("region").order_by("region__name", "name")
            self.fields["zone"].label_from_instance = lambda zone: f"{zone.region.name} / {zone.name}"
            found["zone"] = read_once(self.fields["zone"], zones)
            self.fields["zone"].choices = [("", _("Any")), *self.fields["zone"].choices]
        self.initial = {"project": project.pk, "region": next(iter(found["region"]), None)} | self.initial
        for name, rows in found.items():
            if len(rows) < 2:  # nothing to choose
                self.fields[name].widget = forms.HiddenInput()


class GrowForm(VerbForm):
    """How large it gets."""

    BLAMED = {**VerbForm.BLAMED, "no_capacity": "size_gib"}
    size_gib = SizeField(help_text=_("Volumes only grow. The guest then grows its partition and file system."))

    def __init__(self, *args: Any, volume: Volume, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["size_gib"]
        field.widget.attrs["min"] = volume.size_gib + 1
        self.initial.setdefault("size_gib", volume.size_gib + min(volume.size_gib, 10))


class AttachForm(VerbForm):
    """Which instance gets the volume: one of its host, for its file lies there."""

    BLAMED = {**VerbForm.BLAMED, "volume_elsewhere": "instance", "too_many_volumes": "instance", "locked": "instance",
              "not_supported": "instance"}
    instance = forms.ModelChoiceField(Instance.objects.none(), label=_("Instance"), empty_label=None)

    def __init__(self, *args: Any, user: Any, volume: Volume, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Instance.objects.visible_to(user).defer(*HEAVY).filter(project=volume.project_id, region=volume.region_id)
        offered = rows.filter(host__pools=volume.pool_id, state__in=READY, hold=None).order_by("name", "pk")
        field = self.fields["instance"]
        field.label_from_instance = lambda row: f"{row.name} ({row.get_state_display()})"
        if not read_once(field, offered[:MOST_OFFERED]):
            field.help_text = _("No instance of its host is running or stopped now.")
        field.queryset = rows


class TakeForm(VerbForm):
    """Which volume an instance gets: one that lies on its host and that nobody has."""

    BLAMED = {**VerbForm.BLAMED, "volume_elsewhere": "volume"}
    volume = forms.ModelChoiceField(Volume.objects.none(), label=_("Volume"), empty_label=None)

    def __init__(self, *args: Any, user: Any, instance: Instance, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Volume.objects.visible_to(user).filter(project=instance.project_id, region=instance.region_id)
        offered = rows.filter(pool__host=instance.host_id, state=Volume.State.AVAILABLE, hold=None).order_by("name", "pk")
        field = self.fields["volume"]
        field.label_from_instance = lambda row: f"{row.name} – {row.size_gib} GiB"
        if not read_once(field, offered[:MOST_OFFERED]):
            field.help_text = _("No volume that nobody uses lies on the host of this instance. Create one for it.")
        field.queryset = rows
