"""The base of every viewset: one way in (authenticate → query → object → permission), one transaction per change.

A room's viewset declares, and the permission matrix reads:

    class VolumeViewSet(Listed, Fetched, RoomViewSet):
        queryset = Volume.objects.select_related("hold__operation")
        serializer_class = VolumeSerializer
        bodies = {"create": CreateVolumeSerializer, "resize": ResizeSerializer}
        permissions = {"list": "volume.view", "retrieve": "volume.view", "create": "volume.create", ...}
        filters = {"state": "state", "zone": "zone"}

        def create(self, request: Request) -> Response:
            operation = operations.create_volume(**self.read_body(), actor=request.user)
            return accepted(operation, request)

        @action(detail=True, methods=["post"], url_path="actions/resize")
        def resize(self, request: Request, pk: str) -> Response:
            return accepted(operations.resize_volume(self.target, **self.read_body(), actor=request.user), request)

`self.target` is there in every detail action: already fetched, checked against the action's permission, and matched
with `If-Match`. Actions decide nothing about access themselves.
"""
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from portal.kernel import requests
from portal.kernel.describing import update_resource
from portal.kernel.errors import InvalidInput, NotFound, PortalError, Stale, TooManyRequests
from portal.kernel.models import Operation, Resource

from . import idempotency, rate
from .etags import etag_of, is_known, is_wanted
from .filters import LIST_PARAMETERS, DeclaredFilters, check_query, flag, has_field
from .pagination import KeysetPagination
from .parsing import AlwaysJson, StrictJsonParser
from .projection import project, projection_of
from .rendering import FastJsonRenderer
from .rights import NOT_PERMISSIONS, SIGNED_IN, STAFF
from .serializers import EmptySerializer, OperationSerializer

__all__ = ["SIGNED_IN", "STAFF", "Described", "Fetched", "Listed", "RoomViewSet", "accepted"]
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class RoomViewSet(GenericViewSet):
    """See the module's docstring. A signed-in user or API key is always needed."""

    permissions: ClassVar[Mapping[str, str]] = {}
    """action → permission name (or SIGNED_IN, STAFF). An action that is absent answers nobody."""
    bodies: ClassVar[Mapping[str, type[serializers.Serializer]]] = {}
    """action → what its body is read with; EmptySerializer when absent."""
    answers: ClassVar[Mapping[str, Any]] = {}
    """action → status and serializer for the schema: {"create": (201, KeySerializer)}; changes answer 202 otherwise."""
    other_answers: ClassVar[Mapping[str, Any]] = {}
    """action → another status and serializer that it may have, for the schema."""
    errors: ClassVar[Mapping[str, tuple[type[PortalError], ...]]] = {}
    """action → what it may refuse with besides the general refusals (portal.kernel.rest.schema), for the schema."""
    filters: ClassVar[Mapping[str, str]] = {}
    query_parameters: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """action → further query parameters, e.g. {"create": ("dry_run",), "destroy": ("purge",)}."""
    secret_fields: ClassVar[tuple[str, ...]] = ()
    """Names in answers that are shown once and never replayed."""
    search_fields: ClassVar[tuple[str, ...]] = ()
    """What `?search=` looks into; the name when empty and there is one."""
    ordering_fields: ClassVar[tuple[str, ...]] = ("created_at",)
    ordering: ClassVar[str] = "-created_at"

    queryset: QuerySet
    target: Any = None
    allowance: rate.Allowance | None = None
    parser_classes = (StrictJsonParser,)
    renderer_classes = (FastJsonRenderer,)
    content_negotiation_class = AlwaysJson
    permission_classes: ClassVar[tuple[type[BasePermission], ...]] = (IsAuthenticated,)
    pagination_class = KeysetPagination
    filter_backends = (DeclaredFilters,)
    metadata_class = None
    http_method_names: ClassVar[list[str]] = ["get", "post", "put", "patch", "delete", "head"]

    # -- the way in --

    def perform_authentication(self, request: Request) -> None:
        """Who asks, and whether they may ask once more: strangers are counted too. Raises TooManyRequests."""
        try:
            super().perform_authentication(request)
        except (APIException, PortalError):
            request._not_authenticated()  # a PortalError is none of DRF's: it would ask again while answering
            self._count(request, is_known=False)
            raise
        self._count(request, is_known=request.user.is_authenticated)

    def _count(self, request: Request, *, is_known: bool) -> None:
        """In one exchange with Redis, however many windows the request is in."""
        address = requests.current().address
        if is_known:
            own = rate.of_key(request.auth.pk) if request.auth is not None else rate.of_session(requests.acting(request.user.pk))
            callers = [own, rate.of_user(request.user.pk), *rate.of_address(address)]
        else:
            callers = [*rate.of_stranger(address), *rate.of_address(address)]
        self.allowance = rate.take(callers)
        if self.allowance and self.allowance.is_used_up:
            raise TooManyRequests(retry_after=self.allowance.resets_in_s)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self.allowance.headers() if self.allowance else {}).items():
            response[name] = value
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action is None or request.method == "OPTIONS":  # no such method here: DRF answers 405
            return
        permission = self.permissions[self.action]
        grants = request.user.grants
        if permission == STAFF and not grants.sees_everything:
            raise grants.refusal(permission) if grants.is_held_behind(permission) else NotFound
        check_query(request, self.allowed_query())
        if self.detail:
            self.target = self.fetch(kwargs[self.lookup_url_kwarg or self.lookup_field])
        elif permission not in NOT_PERMISSIONS and not self.may_anywhere(permission) and (
                request.method in CHANGES or grants.is_held_behind(permission)):
            raise grants.refusal(permission)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """DRF's dispatch, with changes run in one transaction that ends before errors are rendered."""
        self.args, self.kwargs = args, kwargs
        request = self.request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            self.initial(request, *args, **kwargs)
            handler = getattr(self, request.method.lower(), self.http_method_not_allowed)
            response = self.perform(request, lambda: handler(request, *args, **kwargs))
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(request, response, *args, **kwargs)
        return self.response

    def perform(self, request: Request, work: Callable[[], Response]) -> Response:
        """Reads run outside a transaction; changes in one, with If-Match, Idempotency-Key and dry run."""
        if request.method not in CHANGES or self.action is None:
            return work()
        with transaction.atomic():
            if request.method != "POST" and self.detail:
                self.target = self.matched(request, self.target)
            if self.is_dry_run:
                response = work()
                transaction.set_rollback(True)
                return response
            if request.method == "POST":
                return idempotency.once(request, work, secret_fields=self.secret_fields)
            return work()

    # -- objects and rights --

    def get_queryset(self) -> QuerySet:
        """Rows that the caller may see; nothing else is ever read."""
        if getattr(self, "swagger_fake_view", False):
            return self.queryset.none()
        return self.queryset.all().visible_to(self.request.user)

    def fetch(self, pk: object) -> Any:
        """The visible row (else NotFound), when its project grants the action's permission (else Forbidden)."""
        try:
            pk = uuid.UUID(str(pk))
        except ValueError as error:  # an id that is no id is as absent as any other
            raise NotFound from error
        found = self.get_queryset().filter(pk=pk).first()
        if found is None:
            user = self.request.user
            raise user.grants.absence(user, lambda one: self.queryset.all().visible_to(one).filter(pk=pk))
        self.require(self.permissions[self.action], found)
        return found

    def get_object(self) -> Any:
        return self.target

    def require(self, permission: str, subject: object) -> None:
        """Raise Forbidden unless the subject's project (or organization) grants the permission."""
        if permission not in NOT_PERMISSIONS and not self.request.user.grants.allows(permission, subject):
            raise self.request.user.grants.refusal(permission, subject).about(subject)

    def may_anywhere(self, permission: str) -> bool:
        return self.request.user.grants.may_anywhere(permission)

    def matched(self, request: Request, target: models.Model) -> Any:
        """Under the row's lock, the target again; raises Stale unless it is the version that If-Match names."""
        wanted = request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return target
        root = Resource if isinstance(target, Resource) else type(target)
        root._base_manager.select_for_update(no_key=True).filter(pk=target.pk).first()
        fresh = self.get_queryset().filter(pk=target.pk).first()
        if fresh is None:
            raise NotFound
        if not is_wanted(fresh, wanted):
            raise Stale
        return fresh

    # -- input --

    def read_body(self, **options: Any) -> dict[str, Any]:
        """The action's validated body."""
        body = self.body_serializer()(data=self.request.data, context=self.get_serializer_context(), **options)
        body.is_valid(raise_exception=True)
        return body.validated_data

    def body_serializer(self) -> type[serializers.Serializer]:
        return self.bodies.get(self.action, EmptySerializer)

    @property
    def is_dry_run(self) -> bool:
        return "dry_run" in self.query_parameters.get(self.action, ()) and flag(self.request, "dry_run")

    def allowed_query(self) -> set[str]:
        allowed = set(self.query_parameters.get(self.action, ()))
        if self.action == "list":
            allowed |= {*LIST_PARAMETERS, *self.all_filters()}
            allowed |= ({"tag"} if self.has_tags() else set()) | ({"search"} if self.searched() else set())
        return allowed

    def all_filters(self) -> dict[str, str]:
        """Declared filters, and what every resource can be filtered by."""
        model, common = self.queryset.model, {}
        for name in ("project", "region", "name"):
            if has_field(model, name):
                common[name] = name
        return {**common, **self.filters}

    def searched(self) -> tuple[str, ...]:
        return self.search_fields or (("name",) if has_field(self.queryset.model, "name") else ())

    def has_tags(self) -> bool:
        return has_field(self.queryset.model, "tags")

    def ordering_of(self, request: Request) -> str:
        text = request.query_params.get("ordering", self.ordering)
        if text != self.ordering and text.removeprefix("-") not in self.ordering_fields:
            raise InvalidInput.field("ordering", _("One of: {names}.").format(names=", ".join(self.ordering_fields)))
        return text

    # -- output --

    def represent(self, row: models.Model) -> Any:
        return project(self.serializer_class, [row], self.get_serializer_context())[0]

    def shown(self, row: models.Model, status: int = 200, **further: Any) -> Response:
        """One row with its ETag (304 when the caller has it already); `further` adds members (a secret shown once)."""
        found = self.represent(row)
        tag = etag_of(row, found)
        if self.request.method == "GET" and is_known(tag, self.request.headers.get("If-None-Match", "")):
            return Response(status=304, headers={"ETag": tag})
        return Response({**found, **further}, status=status, headers={"ETag": tag})


class Listed:
    """GET on the collection."""

    def list(self, request: Request) -> Response:
        sorted_by = self.ordering_of(request).lstrip("-")
        queryset = projection_of(self.serializer_class).narrowed(self.filter_queryset(self.get_queryset()), sorted_by)
        rows = self.paginate_queryset(queryset)
        return self.get_paginated_response(project(self.serializer_class, rows, self.get_serializer_context()))


class Fetched:
    """GET on one row."""

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.shown(self.target)


class Described:
    """PATCH of what a person calls the row: name, description, tags."""

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename, describe, tag."""
        changes = self.read_body()
        if not changes:
            raise InvalidInput.field("name", _("Nothing to change."))
        return self.shown(update_resource(self.target, actor=request.user, **changes))


def accepted(operation: Operation, request: Request) -> Response:
    """202 with the operation as body and its address in Location."""
    return Response(project(OperationSerializer, [operation], {"request": request})[0], status=202,
                    headers={"Location": reverse("operation-detail", args=[operation.pk])})
