"""REST of what the guest agent is for: what a guest tells of itself, and resetting the password of one of its users."""
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances import guests, passwords
from compute.instances.errors import InstanceLocked, NoGuestAgent
from compute.instances.hashing import LONGEST, PASSWORD, SHORTEST, generate
from compute.instances.models import Agent, Instance
from portal.kernel.errors import Busy, StateConflict, Unpaid
from portal.kernel.rest.serializers import OperationSerializer, StrictSerializer
from portal.kernel.rest.views import accepted

FIELDS = guests.FIELDS


class GuestCardSerializer(serializers.Serializer):
    """As the guest says, unproved."""

    example = {"name": "eth0", "mac": "0a:4d:00:00:00:01", "addresses": ["10.0.0.5/24"]}
    name = serializers.CharField()
    mac = serializers.CharField()
    addresses = serializers.ListField(child=serializers.CharField())


class GuestSerializer(serializers.Serializer):
    """What the guest tells through its agent (the package qemu-guest-agent), asked once a minute."""

    example = {"agent": "answers"}
    agent = serializers.ChoiceField(choices=Agent.choices)
    asked_at = serializers.DateTimeField()
    cards = GuestCardSerializer(many=True)


def told(instance: Instance) -> dict[str, Any] | None:
    found = guests.Guest.of(instance)
    return GuestSerializer(found).data if found else None


class PasswordField(serializers.CharField):
    """A password for a guest."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"min_length": SHORTEST, "max_length": LONGEST, "validators": [PASSWORD]} | more)


class ResetPasswordSerializer(StrictSerializer):
    example = {"user": "debian"}
    user = serializers.CharField(max_length=passwords.LONGEST_USER, validators=[passwords.USER], required=False,
                                 help_text="Who has an account in the guest; root unless said.")
    password = PasswordField(required=False, help_text="Without one, it is made.")


@extend_schema_serializer(component_name="PasswordReset")
class ResetOperationSerializer(OperationSerializer):
    """The only answer that carries the password. It holds when the operation has succeeded."""

    example = {"user": "debian", "password": "Yk3v0…"}
    user = serializers.CharField(read_only=True)
    password = serializers.CharField(read_only=True)

    class Meta(OperationSerializer.Meta):
        fields = (*OperationSerializer.Meta.fields, "user", "password")
        read_only_fields = fields


PERMISSIONS = {"reset_password": passwords.PERMISSION}
BODIES = {"reset_password": ResetPasswordSerializer}
ANSWERS = {"reset_password": (202, ResetOperationSerializer)}
ERRORS = {"reset_password": (NoGuestAgent, InstanceLocked, StateConflict, Busy, Unpaid)}
SECRETS = ("password",)


class HasAgent:
    """What is done by the agent in the guest, for the viewset of instances."""

    @action(detail=True, methods=["post"], url_path="actions/reset-password", url_name="reset-password")
    def reset_password(self, request: Request, pk: str) -> Response:
        """Give a user of the guest another password, by its agent while it runs. It is told in this answer only."""
        body = self.read_body()
        user, password = body.get("user", passwords.USUAL_USER), body.get("password") or generate()
        answer = accepted(passwords.reset(self.target, user=user, password=password, actor=request.user), request)
        answer.data = {**answer.data, "user": user, "password": password}
        return answer
