"""What REST says of how a host was looked for."""
from rest_framework import serializers


class VerdictSerializer(serializers.Serializer):
    """What placement thought of one host: a weight, or a reason against it."""

    host = serializers.UUIDField(source="host_id")
    name = serializers.CharField(source="host.name")
    chosen = serializers.BooleanField(source="is_chosen")
    weight = serializers.FloatField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)


class PlacedSerializer(serializers.Serializer):
    """How a host was looked for: why none was found; and for administrators, what was thought of each."""

    feasible = serializers.BooleanField()
    reasons = serializers.ListField(child=serializers.CharField())
    hosts = VerdictSerializer(many=True, allow_null=True)
