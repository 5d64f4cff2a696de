"""REST of sizes: instance types with what their class permits, and another size for an instance."""
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute.instances.abilities import table
from compute.instances.classes import OF_CLASS
from compute.instances.models import InstanceType
from compute.instances.sizes import FIXED
from portal.kernel.errors import InvalidInput
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import RenameSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, Fetched, Listed, RoomViewSet

MOST_VCPUS, MOST_MEMORY_MIB = 4096, 64 * 1024 ** 2
SIZE = ("vcpus", "memory_mib")


class AbilitySerializer(serializers.Serializer):
    """What the class of a type permits. `reason` says why not, or what it asks besides."""

    example = {"name": "live_migration", "is_possible": True, "reason": "Only between hosts with the same processors."}
    name = serializers.CharField()
    label = serializers.CharField()
    is_possible = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True)


class InstanceTypeSerializer(serializers.ModelSerializer):
    """A custom type has `max_vcpus` and `max_memory_mib`: its size is chosen from its own up to these, in steps."""

    example = {"name": "Small", "slug": "small", "vcpus": 1, "memory_mib": 1024, "root_disk_gib": 10, "max_vcpus": None,
               "max_memory_mib": None, "vcpus_step": 1, "memory_step_mib": 1024, "firmware": "bios", "machine": "q35",
               "cpu_mode": "host", "io_class": "virtio", "numa_nodes": 1, "has_hugepages": False}
    reads = {"abilities": OF_CLASS}
    abilities = serializers.SerializerMethodField(help_text="What its virtual hardware permits, as far as its host can do it.")

    class Meta:
        model = InstanceType
        fields = ("id", "slug", "name", "vcpus", "memory_mib", "root_disk_gib", "max_vcpus", "max_memory_mib", "vcpus_step",
                  "memory_step_mib", *OF_CLASS, "abilities")
        read_only_fields = fields

    @extend_schema_field(AbilitySerializer(many=True))
    def get_abilities(self, row: InstanceType) -> list[dict[str, Any]]:
        return [{"name": one.name, "label": str(one.label), "is_possible": one.is_possible, "reason": one.reason}
                for one in table(InstanceType(**{name: getattr(row, name) for name in OF_CLASS}))]


class InstanceTypeViewSet(Listed, Fetched, RoomViewSet):
    """Sizes on offer."""

    queryset = InstanceType.objects.all()
    serializer_class = InstanceTypeSerializer
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN}
    filters = {"slug": "slug"}
    ordering, ordering_fields = "slug", ("slug", "memory_mib", "vcpus")


def vcpus_field() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MOST_VCPUS, required=False, help_text=(
        "Of a custom type; without it the least that the type has."))


def memory_field() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MOST_MEMORY_MIB, required=False, help_text=(
        "Of a custom type; without it the least that the type has."))


class ResizeSerializer(StrictSerializer):
    """The size that it gets. Where it has to be restarted for that, the request says that it may be."""

    example = {"type": id_of("instance_type"), "allow_restart": False}
    type = VisibleField(InstanceType)
    vcpus = vcpus_field()
    memory_mib = memory_field()
    allow_restart = serializers.BooleanField(required=False, default=False)


class ChangeInstanceSerializer(RenameSerializer):
    """What a person calls it; or, of a custom type, another size, as `actions/resize` gives it."""

    vcpus = serializers.IntegerField(min_value=1, max_value=MOST_VCPUS, required=False)
    memory_mib = serializers.IntegerField(min_value=1, max_value=MOST_MEMORY_MIB, required=False)
    allow_restart = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A change of size is an operation that goes on after the answer: nothing else is done by the same request."""
        of_size = {*SIZE, "allow_restart"} & attrs.keys()
        if of_size and (attrs.keys() - of_size or not set(SIZE) & attrs.keys()):
            text = _("A request changes the size or the names, not both.")
            raise serializers.ValidationError({name: [text] for name in of_size})
        return attrs


def require_custom(type: InstanceType, names: Any) -> None:
    """Raise InvalidInput naming the way that other types have."""
    if not type.is_custom:
        text = str(FIXED % {"type": type.name})
        raise InvalidInput(errors={name: [text] for name in SIZE if name in names})
