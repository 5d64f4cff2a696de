"""REST of signing in: where the caller is signed in with a browser, and the second factors that they have.

Factors are set up on pages alone: an app's key and a passkey belong into a person's hands, not into a program's answer.
"""
from typing import Any

from allauth.mfa.models import Authenticator
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.errors import Forbidden
from portal.kernel.rest.views import SIGNED_IN, Fetched, Listed, RoomViewSet
from tenants import browsers
from tenants.models import BrowserSession, User


class SessionSerializer(serializers.ModelSerializer):
    """A browser's session; `is_current` is the one that asks."""

    example = {"device": "Firefox 145 · Linux", "agent": "Mozilla/5.0 …", "address": "192.0.2.7", "is_current": True}
    reads = {"device": ("agent",), "is_current": ("session_key",)}
    device = serializers.SerializerMethodField()
    is_current = serializers.SerializerMethodField()

    class Meta:
        model = BrowserSession
        fields = ("id", "device", "agent", "address", "created_at", "last_seen_at", "is_current")
        read_only_fields = fields

    def get_device(self, row: Any) -> str:
        return browsers.device(row.agent)

    def get_is_current(self, row: Any) -> bool:
        return row.session_key == self.context["request"].session.session_key


class FactorSerializer(serializers.Serializer):
    """A second factor: `totp` (an authenticator app), `webauthn` (a passkey) or `recovery_codes`, with how many are left."""

    example = {"kind": "webauthn", "name": "laptop", "left": None}
    kind = serializers.CharField()
    name = serializers.CharField()
    left = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)


class FactorsSerializer(serializers.Serializer):
    results = FactorSerializer(many=True)


class OnlyWholeKeys:
    """A key of few scopes or of one project knows nothing of its owner's browsers and factors."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.auth is not None and (request.auth.scopes or request.auth.project_id):
            raise Forbidden(permission="apikey.manage").about(request.auth)


class SessionViewSet(OnlyWholeKeys, Listed, Fetched, RoomViewSet):
    """Where the caller is signed in with a browser."""

    queryset = BrowserSession.objects.living()
    serializer_class = SessionSerializer
    answers = {"destroy": (204, None), "end_others": (204, None)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "destroy": SIGNED_IN, "end_others": SIGNED_IN}
    search_fields = ("agent",)
    ordering_fields = ("created_at", "last_seen_at")

    def destroy(self, request: Request, pk: str) -> Response:
        """Sign that browser out: its next request is refused, an open live connection ends within seconds."""
        browsers.end(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=False, methods=["post"], url_path="actions/end-others")
    def end_others(self, request: Request) -> Response:
        """Sign all browsers out but the one that asks; by an API key, all."""
        browsers.end_all(request.user, actor=request.user, but=request.session.session_key)
        return Response(status=204)


class FactorViewSet(OnlyWholeKeys, RoomViewSet):
    """The caller's second factors."""

    queryset = User.objects.none()
    serializer_class = FactorsSerializer
    answers = {"factors": (200, FactorsSerializer)}
    permissions = {"factors": SIGNED_IN}

    def factors(self, request: Request) -> Response:
        """Which there are; secrets are shown nowhere. They are set up on the page “Two-step sign-in”."""
        rows = Authenticator.objects.filter(user=request.user).order_by("created_at", "pk")
        return Response(FactorsSerializer({"results": [self._told(row) for row in rows]}).data)

    def _told(self, row: Authenticator) -> dict[str, Any]:
        is_codes, is_key = row.type == Authenticator.Type.RECOVERY_CODES, row.type == Authenticator.Type.WEBAUTHN
        return {"kind": str(row.type), "name": row.wrap().name if is_key else "", "created_at": row.created_at,
                "last_used_at": row.last_used_at, "left": len(row.wrap().get_unused_codes()) if is_codes else None}
