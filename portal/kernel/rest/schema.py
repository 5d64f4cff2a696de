"""OpenAPI 3.1 from what viewsets declare (`bodies`, `answers`, `permissions`, `query_parameters`): both agree."""
import re
from typing import Any

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from portal.kernel import errors

from .examples import example_of
from .rights import NOT_PERMISSIONS, STAFF
from .serializers import DryRunSerializer, EmptySerializer, OperationSerializer, ProblemSerializer

PROBLEMS = {400: "Invalid input; `errors` names the fields.", 401: "Not signed in.",
            402: "The credit does not cover it, payment is due, or a budget is reached; `code` says which.",
            403: "Visible, but not allowed.",
            404: "Absent or hidden.", 409: "State conflict or quota; `code` says which.", 412: "If-Match is stale.",
            413: "The body is too large.", 415: "The body is no JSON.",
            422: "Idempotency-Key used with another body.", 429: "Too many requests.", 502: "The host reported a fault.",
            503: "Try again later."}
PROBLEM = "application/problem+json"
# Of every action; what no class of ours stands for is made in portal.kernel.rest.problem.
ALWAYS = {400: {"invalid", "malformed"}, 401: {"not_authenticated"}, 429: {"rate_limited"}, 503: {"unavailable"}}
CHANGES = {403: {"forbidden"}, 404: {"not_found"}, 409: {"conflict"}, 413: {"too_large"}, 415: {"unsupported_media_type"}}
SENTENCE_END = re.compile(r"(?<=[a-z)\d])[.;:](?:\s|$)")
FLAGS, NUMBERS = frozenset({"dry_run", "purge", "volumes"}), frozenset({"wait", "step"})
LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[202],
                            description="The operation's address.")
ETAG = OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200], description="The row's version.")
RATE = [OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[200, 201, 202], description=text) for name, text in (
    ("RateLimit-Policy", "Requests in a window: `\"default\";q=<requests>;w=<seconds>`, and further windows with commas."),
    ("RateLimit", "What is left of them: `\"default\";r=<requests>;t=<seconds until it is full again>`, and so on."))]


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

    def get_summary(self) -> str | None:
        """`List instances`, `Show an instance`'s first words, or the first sentence of the action's docstring."""
        if self.room is None:
            return super().get_summary()
        nouns = self.path.removeprefix("/api/v1").strip("/").split("/")[0].replace("-", " ")
        if self.action in ("list", "retrieve"):
            return f"List {nouns}" if self.action == "list" else f"Show one of {nouns}"
        return SENTENCE_END.split(self._doc(), maxsplit=1)[0].rstrip(".")

    def get_description(self) -> str:
        if self.room is None:
            return super().get_description()
        permission, text = self.room.permissions.get(self.action), self._doc()
        if permission == STAFF:
            text += "\n\nAdministrators only; for everybody else there is nothing here (404)."
        elif permission and permission not in NOT_PERMISSIONS:
            text += f"\n\nNeeds `{permission}`."
        return text

    def _doc(self) -> str:
        """What the action says of itself, else its view; one line a paragraph."""
        handler = getattr(self.room, self.action, None)
        text = getattr(handler, "__doc__", None) or type(self.room).__doc__ or ""
        return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).strip()

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
        if self.action in self.room.other_answers:
            other, body = self.room.other_answers[self.action]
            found[other] = body
        if self._takes("dry_run"):
            found[200] = DryRunSerializer
        if self.action == "retrieve":
            found[304] = OpenApiResponse(description="What `If-None-Match` names is what there is.")
        return found | {(status, PROBLEM): OpenApiResponse(ProblemSerializer, description=PROBLEMS[status])
                        for status in self.problems()}

    def _many(self, serializer: type[serializers.Serializer]) -> Any:
        return serializer(many=True)

    def _answer(self) -> tuple[int, Any]:
        if self.action in self.room.answers:
            return self.room.answers[self.action]
        if self.method == "GET":
            return 200, self.room.serializer_class
        return (200, self.room.serializer_class) if self.method in ("PATCH", "PUT") else (202, OperationSerializer)

    def problems(self) -> dict[int, set[str]]:
        """HTTP status → codes that this operation may answer: the general ones, and what its view declares (`errors`)."""
        found = {status: set(codes) for status, codes in ALWAYS.items()}
        changes, detail = self.method != "GET", bool(self.room.detail)
        permission = self.room.permissions.get(self.action)
        general: list[type[errors.PortalError]] = [errors.NotFound] if detail or permission == STAFF else []
        general += [errors.Forbidden] if detail or changes else []
        if changes:
            found |= {status: found.get(status, set()) | codes for status, codes in CHANGES.items()}
            general += [errors.KeyReused] if self.method == "POST" else []
            general += [errors.Busy, errors.StateConflict] if detail else [errors.QuotaExceeded]
            general += [errors.Stale] if detail and self.method != "POST" else []
        general += [error for error in errors.Forbidden.__subclasses__() if error.of == "all" or (changes and error.of)]
        for error in (*general, *self.room.errors.get(self.action, ())):
            found.setdefault(error.status, set()).add(error.code)
        return dict(sorted(found.items()))

    def _get_response_for_code(self, serializer: Any, status_code: Any, media_types: Any = None,
                               direction: str = "response") -> dict[str, Any]:
        """As drf-spectacular; problems say which codes this operation may answer."""
        found = super()._get_response_for_code(serializer, status_code, media_types, direction)
        body = found.get("content", {}).get(PROBLEM)
        if body is not None and self.room is not None:
            status = int(status_code)
            codes = sorted(self.problems()[status])
            body["schema"] = {"allOf": [body["schema"], {"properties": {"code": {"enum": codes}, "status": {"const": status}}}]}
        return found

    def _get_examples(self, serializer: Any, direction: str, media_type: str, status_code: Any = None,
                      extras: Any = None) -> Any:
        """One example of every body and success answer, made of what the serializer declares."""
        if self.room is None or media_type == PROBLEM or serializer is None:
            return super()._get_examples(serializer, direction, media_type, status_code, extras)
        if isinstance(serializer, OpenApiTypes):  # a file
            return {"example": {"value": "…"}}
        value = example_of(serializer, direction)
        if direction == "response" and self.action == "list":
            value = {"next": None, "previous": None, "results": value if isinstance(value, list) else [value]}
        return {"example": {"value": value}}

    def _takes(self, name: str) -> bool:
        return name in self.room.query_parameters.get(self.action, ())

    def get_override_parameters(self) -> list[Any]:
        if self.room is None:
            return super().get_override_parameters()
        found: list[Any] = [
            OpenApiParameter(name, bool if name in FLAGS else int if name in NUMBERS else str, OpenApiParameter.QUERY)
            for name in self.room.query_parameters.get(self.action, ())]
        if self.method == "POST":
            found.append(OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER))
        if self.method in ("PATCH", "PUT", "DELETE") and self.room.detail:
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER))
        if self._answer()[0] == 202:
            found.append(LOCATION)
        if self.action == "retrieve":
            found += [ETAG, OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)]
        return found + RATE

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.action == "list" if self.room is not None else super()._is_list_view(serializer)
