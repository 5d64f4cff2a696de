"""What REST asks before the disk of an instance is copied."""
from portal.kernel.rest.serializers import DescribedSerializer, NameField, StrictSerializer


class CaptureSerializer(DescribedSerializer):
    """How the image is called."""

    example = {"name": "web, ready", "description": "With the shop installed."}


class CloneSerializer(StrictSerializer):
    example = {"name": "web-2"}
    name = NameField(required=False, help_text="Without one: the name of the instance, with “-clone”.")
