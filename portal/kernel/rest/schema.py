"""OpenAPI 3.1 from what viewsets declare (`bodies`, `answers`, `permissions`, `query_parameters`): both agree."""
from typing import Any

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from .rights import NOT_PERMISSIONS
from .serializers import DryRunSerializer, EmptySerializer, OperationSerializer, ProblemSerializer

PROBLEMS = {400: "Invalid input; `errors` names the fields.", 401: "Not signed in.", 403: "Visible, but not allowed.",
            404: "Absent or hidden.", 409: "State conflict or quota; `code` says which.", 412: "If-Match is stale.",
            422: "Idempotency-Key used with another body.", 429: "Too many requests.", 503: "Try again later."}
FLAGS = frozenset({"dry_run", "purge"})
LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[202],
                            description="The operation's address.")
ETAG = OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200], description="The row's version.")


class AutoSchema(SpectacularSchema):
    """One operation's description. Views outside the rooms' base are described by drf-spectacular alone."""

    @property
    def room(self) -> Any:
        """The view, when it is a room's (views.RoomViewSet imports DRF's settings, which import this module)."""
        return self.view if hasattr(self.view, "bodies") else None

    @property
    def action(self) -> str:
        return getattr(self.view, "action", "") or ""

    def get_operation_id(self) -> str:
        """`instances_list`, `instances_actions_start`: the path's nouns, then the action."""
        if self.room is None:
            return super().get_operation_id()
        nouns = self.path.removeprefix("/api/v1").strip("/").split("/")
        words = [word.replace("-", "_") for word in nouns if word and "{" not in word]
        last = {"partial_update": "update"}.get(self.action, self.action)
        if last in ("list", "retrieve", "create", "update", "destroy"):
            return "_".join([*words, last])
        # A path that serves several methods needs the method's name too.
        methods = set(getattr(self.view, "action_map", None) or {}) - {"head"}
        return "_".join([*words, self.method.lower()] if len(methods) > 1 else words)

    def get_description(self) -> str:
        text = super().get_description()
        permission = self.room.permissions.get(self.action) if self.room else None
        if self.room is not None:
            handler = getattr(self.room, self.action, None)
            text = (handler.__doc__ or "").strip() if handler else ""
        if permission and permission not in NOT_PERMISSIONS:
            text = f"{text}\n\nNeeds `{permission}`.".strip()
        return text

    def get_request_serializer(self) -> Any:
        if self.room is None:
            return super().get_request_serializer()
        if self.method in ("GET", "DELETE"):
            return None
        return self.room.bodies.get(self.action, EmptySerializer)

    def get_response_serializers(self) -> Any:
        if self.room is None:
            return super().get_response_serializers()
        status, serializer = self._answer()
        found: dict[Any, Any] = {status: self._many(serializer) if self.action == "list" else serializer}
        if self._takes("dry_run"):
            found[200] = DryRunSerializer
        problem = {code: OpenApiResponse(ProblemSerializer, description=text) for code, text in PROBLEMS.items()
                   if self._may_answer(code)}
        return found | {(code, "application/problem+json"): answer for code, answer in problem.items()}

    def _many(self, serializer: type[serializers.Serializer]) -> Any:
        return serializer(many=True)

    def _answer(self) -> tuple[int, Any]:
        if self.action in self.room.answers:
            return self.room.answers[self.action]
        if self.method == "GET":
            return 200, self.room.serializer_class
        return (200, self.room.serializer_class) if self.method in ("PATCH", "PUT") else (202, OperationSerializer)

    def _may_answer(self, status: int) -> bool:
        changes = self.method != "GET"
        return {404: bool(self.room.detail) or changes, 403: changes or bool(self.room.detail), 409: changes,
                412: self.method in ("PATCH", "PUT", "DELETE") and bool(self.room.detail),
                422: self.method == "POST"}.get(status, True)

    def _takes(self, name: str) -> bool:
        return name in self.room.query_parameters.get(self.action, ())

    def get_override_parameters(self) -> list[Any]:
        if self.room is None:
            return super().get_override_parameters()
        found: list[Any] = [
            OpenApiParameter(name, bool if name in FLAGS else int if name == "wait" else str, OpenApiParameter.QUERY)
            for name in self.room.query_parameters.get(self.action, ())]
        if self.method == "POST":
            found.append(OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER))
        if self.method in ("PATCH", "PUT", "DELETE") and self.room.detail:
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER))
        if self._answer()[0] == 202:
            found.append(LOCATION)
        if self.action == "retrieve":
            found.append(ETAG)
        return found

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.action == "list" if self.room is not None else super()._is_list_view(serializer)
