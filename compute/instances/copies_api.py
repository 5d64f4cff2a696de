"""What REST asks before the disk of an instance is copied."""
from compute.instances.models import Snapshot
from portal.kernel.rest.serializers import DescribedSerializer, NameField, StrictSerializer, VisibleField


class CaptureSerializer(DescribedSerializer):
    """How the image is called."""

    example = {"name": "web, ready", "description": "With the shop installed."}
    snapshot = VisibleField(Snapshot, required=False, help_text="Of what was on the volume then, in place of now.")


class CloneSerializer(StrictSerializer):
    example = {"name": "web-2"}
    name = NameField(required=False, help_text="Without one: the name of the instance, with “-clone”.")
