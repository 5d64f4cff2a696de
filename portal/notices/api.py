"""REST of the caller's notifications: which kinds there are, and how they are told of each."""
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.rest.serializers import StrictSerializer
from portal.kernel.rest.views import SIGNED_IN, RoomViewSet
from portal.notices import preferences
from portal.notices.models import Preferences

MOST = 100


class NoticeChoiceSerializer(serializers.Serializer):
    """A kind: `mail` is now, daily or never; `bell` on or off, null where the bell never rings for it. One that `is_fixed` cannot
    be switched off."""

    example = {"name": "operation.failed", "label": "Failures in my projects", "mail": "daily", "bell": "on", "is_fixed": False}
    name = serializers.CharField()
    label = serializers.CharField()
    mail = serializers.CharField()
    bell = serializers.CharField(allow_null=True)
    is_fixed = serializers.BooleanField()


class NoticePreferencesSerializer(serializers.Serializer):
    """What the caller is told, and how; the mail of the day comes at eight in `time_zone` (empty: UTC)."""

    example = {"time_zone": "Asia/Shanghai"}
    time_zone = serializers.CharField(allow_blank=True)
    results = NoticeChoiceSerializer(many=True)


@extend_schema_field(OpenApiTypes.OBJECT)
class WordsField(serializers.DictField):
    """Kind → one of a few words."""

    child = serializers.CharField(max_length=60)

    def run_child_validation(self, data: dict[Any, Any]) -> dict[str, str]:
        if len(data) > MOST:
            self.fail("not_a_dict", input_type="dict")
        return super().run_child_validation(data)


class ChooseSerializer(StrictSerializer):
    """Kinds that are not named stay as they are."""

    example = {"mail": {"operation.failed": "daily"}, "bell": {"operation.own": "off"}, "time_zone": "Asia/Shanghai"}
    mail = WordsField(required=False)
    bell = serializers.DictField(child=serializers.ChoiceField(choices=["on", "off"]), required=False)
    time_zone = serializers.CharField(max_length=64, required=False, allow_blank=True)


class PreferencesViewSet(RoomViewSet):
    """What the caller is told, and how."""

    queryset = Preferences.objects.none()
    serializer_class = NoticePreferencesSerializer
    bodies = {"choose": ChooseSerializer}
    permissions = {"show": SIGNED_IN, "choose": SIGNED_IN}
    answers = {"show": (200, NoticePreferencesSerializer), "choose": (200, NoticePreferencesSerializer)}

    def show(self, request: Request) -> Response:
        """All kinds."""
        return self._shown(preferences.of(request.user.pk))

    def choose(self, request: Request) -> Response:
        """Change some of it. What concerns the caller's own account and rights is always mailed at once."""
        body = self.read_body()
        bell = {name: value == "on" for name, value in body.get("bell", {}).items()}
        return self._shown(preferences.choose(request.user, mails=body.get("mail"), bell=bell,
                                              time_zone=body.get("time_zone"), actor=request.user))

    def _shown(self, held: Preferences) -> Response:
        found = [{"name": one.kind.name, "label": str(one.kind.label), "mail": one.mail, "is_fixed": one.kind.is_fixed,
                  "bell": None if one.rings is None else "on" if one.rings else "off"} for one in preferences.choices(held)]
        return Response(NoticePreferencesSerializer({"time_zone": held.time_zone, "results": found}).data)
