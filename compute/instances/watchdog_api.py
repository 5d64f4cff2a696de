"""REST of watchdogs."""
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances import watchdogs
from compute.instances.models import WatchdogAction
from portal.kernel.rest.serializers import StrictSerializer

PERMISSIONS = {"watchdog": watchdogs.PERMISSION}


class WatchdogSerializer(StrictSerializer):
    example = {"action": "reset"}
    action = serializers.ChoiceField(WatchdogAction.choices, help_text=(
        "What is done when the guest has begun to feed its watchdog and stops: none only tells, off takes the device away."))


BODIES = {"watchdog": WatchdogSerializer}


class HasWatchdog:
    @action(detail=True, methods=["post"], url_path="actions/watchdog")
    def watchdog(self: Any, request: Request, pk: str) -> Response:
        """Give it a watchdog (i6300esb), or take it away, from its next start on."""
        return self.shown(watchdogs.set_watchdog(self.target, self.read_body()["action"], actor=request.user))
