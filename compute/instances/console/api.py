"""REST of consoles: tickets, who has one open, and links to look. Actions of the viewset of instances."""
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances.console.links import (
    LONGEST_MINUTES,
    LinkRefused,
    TooManyLinks,
    find_link,
    links_of,
    make_link,
    revoke_link,
)
from compute.instances.console.logs import read_log
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.console.operations import issue_ticket, principal_of, ticket_answer
from compute.instances.console.sessions import TooManyConsoles, end_session, sessions_of
from compute.instances.console.views import address_of
from compute.instances.errors import NotSupported
from portal.kernel.errors import HostFault, HostUnreachable, NotFound, TooManyRequests
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import StrictSerializer, VisibleField
from tenants.errors import GlassUnbroken, OrganizationSuspended

TYPES = ConsoleTicket.Type.choices


class ConsoleSerializer(StrictSerializer):
    """`serial` is the guest's first serial port, byte for byte; with `take_over` it is taken from whoever else has it open on the
    host."""

    example = {"type": "vnc"}
    type = serializers.ChoiceField(choices=TYPES, default="vnc")
    take_over = serializers.BooleanField(default=False)


class ConsoleLogSerializer(serializers.Serializer):
    """The last 64 KiB, as the guest wrote them: with what is meant for a terminal."""

    example = {"text": "[    0.000000] Linux version 6.1.0\n"}
    text = serializers.CharField(read_only=True)


class TicketSerializer(serializers.Serializer):
    example = {"url": f"/console/{id_of('instance')}/", "ws": f"wss://cloud.example.org/ws/console/{id_of('instance')}/",
               "ticket": "Yk3v0…"}
    url = serializers.CharField()
    ws = serializers.CharField()
    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ConsoleSessionSerializer(serializers.ModelSerializer):
    """Who has the console open: since when, from where, and whether to look only."""

    example = {"user": "mei", "address": "203.0.113.7", "is_view_only": False}
    user = serializers.CharField(source="user.username", read_only=True)
    opened_at = serializers.DateTimeField(source="used_at", read_only=True)
    address = serializers.IPAddressField(read_only=True, allow_null=True)
    is_view_only = serializers.BooleanField(read_only=True)

    class Meta:
        model = ConsoleTicket
        fields = ("id", "user", "type", "opened_at", "address", "is_view_only")
        read_only_fields = fields


class ConsoleSessionsSerializer(serializers.Serializer):
    results = ConsoleSessionSerializer(many=True)


class EndConsoleSessionSerializer(StrictSerializer):
    session = VisibleField(ConsoleTicket)


class ConsoleLinkSerializer(serializers.ModelSerializer):
    """A link that may still be good; its secret is told once, when it is made."""

    example = {"maker": "mei"}
    maker = serializers.CharField(source="maker.username", read_only=True)

    class Meta:
        model = ConsoleLink
        fields = ("id", "maker", "created_at", "expires_at")
        read_only_fields = fields


class NewConsoleLinkSerializer(ConsoleLinkSerializer):
    """The only answer that carries the link. Whoever opens it has to be signed in and to see the instance."""

    example = {"link_url": f"https://cloud.example.org/instances/{id_of('instance')}/console-view/#Yk3v0…", "link": "Yk3v0…"}
    link_url = serializers.CharField(read_only=True)
    link = serializers.CharField(read_only=True)

    class Meta(ConsoleLinkSerializer.Meta):
        fields = (*ConsoleLinkSerializer.Meta.fields, "link_url", "link")
        read_only_fields = fields


class ConsoleLinksSerializer(serializers.Serializer):
    results = ConsoleLinkSerializer(many=True)


class MakeConsoleLinkSerializer(StrictSerializer):
    example = {"minutes": 60}
    minutes = serializers.IntegerField(min_value=1, max_value=LONGEST_MINUTES)


class RevokeConsoleLinkSerializer(StrictSerializer):
    link = VisibleField(ConsoleLink)


class LookAtConsoleSerializer(StrictSerializer):
    """`link` is the secret: what stands behind `#` in the link's address."""

    example = {"link": "Yk3v0…"}
    link = serializers.CharField(max_length=100)
    type = serializers.ChoiceField(choices=TYPES, default="vnc")


PERMISSIONS = {"end_console_session": "instance.operate", "console_view": "instance.view", **dict.fromkeys(
    ("console", "console_log", "console_sessions", "console_links", "make_console_link", "revoke_console_link"),
    "instance.console")}
BODIES = {"console": ConsoleSerializer, "end_console_session": EndConsoleSessionSerializer,
          "make_console_link": MakeConsoleLinkSerializer,
          "revoke_console_link": RevokeConsoleLinkSerializer, "console_view": LookAtConsoleSerializer}
ANSWERS = {"console": (200, TicketSerializer), "console_log": (200, ConsoleLogSerializer),
           "console_view": (200, TicketSerializer),
           "console_sessions": (200, ConsoleSessionsSerializer), "end_console_session": (204, None),
           "console_links": (200, ConsoleLinksSerializer), "make_console_link": (201, NewConsoleLinkSerializer),
           "revoke_console_link": (204, None)}
ERRORS = {"console": (NotSupported, TooManyConsoles, TooManyRequests),
          "console_view": (LinkRefused, NotSupported, TooManyConsoles, TooManyRequests),
          "console_log": (NotSupported, TooManyRequests, HostFault, HostUnreachable, GlassUnbroken, OrganizationSuspended),
          "make_console_link": (TooManyLinks,), "end_console_session": (NotFound,),
          # Who looks at these holds more than a right to look.
          **dict.fromkeys(("console_sessions", "console_links"), (GlassUnbroken, OrganizationSuspended)),
          "revoke_console_link": (NotFound,)}
SECRETS = ("ticket", "link", "link_url")


class HasConsole:
    """What is done about an instance's console, for its viewset."""

    @action(detail=True, methods=["post"])
    def console(self, request: Request, pk: str) -> Response:
        """A ticket for the screen or the serial console, good once and for 30 seconds."""
        body = self.read_body()
        row, text = issue_ticket(self.target, actor=request.user, principal=principal_of(request), type=body["type"],
                                 takes_over=body["take_over"])
        return Response(ticket_answer(row, text, request))

    @action(detail=True, methods=["post"], url_path="console-view", url_name="console-view")
    def console_view(self, request: Request, pk: str) -> Response:
        """By somebody's link, a ticket to look at the screen or the serial console and not to type; for whoever sees the
        instance."""
        body = self.read_body()
        link = find_link(self.target, body["link"])
        row, text = issue_ticket(self.target, actor=request.user, principal=principal_of(request), link=link, type=body["type"])
        return Response(ticket_answer(row, text, request))

    @action(detail=True, methods=["get"], url_path="console-log", url_name="console-log")
    def console_log(self, request: Request, pk: str) -> Response:
        """What the guest wrote on its serial port, the last 64 KiB of it, also of one that is off."""
        return Response(ConsoleLogSerializer({"text": read_log(self.target)}).data)

    @action(detail=True, methods=["get"], url_path="console-sessions", url_name="console-sessions")
    def console_sessions(self, request: Request, pk: str) -> Response:
        """Who has its console open now."""
        return Response(ConsoleSessionsSerializer({"results": sessions_of(self.target)}).data)

    @action(detail=True, methods=["post"], url_path="console-sessions/end", url_name="end-console-session")
    def end_console_session(self, request: Request, pk: str) -> Response:
        """Close somebody's console, within five seconds; again is success. Whoever may open it can open it anew."""
        end_session(self.target, self.read_body()["session"].pk, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"], url_path="console-links", url_name="console-links")
    def console_links(self, request: Request, pk: str) -> Response:
        """Links by which others may look, for as long as they are good."""
        return Response(ConsoleLinksSerializer({"results": links_of(self.target)}).data)

    @console_links.mapping.post
    def make_console_link(self, request: Request, pk: str) -> Response:
        """A link by which people who see the instance may look at its screen for so many minutes, in your name: it ends with
        your right to the console, with the next start of the instance, and when somebody revokes it."""
        row, secret = make_link(self.target, actor=request.user, principal=principal_of(request), **self.read_body())
        told = {**ConsoleLinkSerializer(row).data, "link_url": address_of(row, secret), "link": secret}
        return Response(told, status=201)

    @action(detail=True, methods=["post"], url_path="console-links/revoke", url_name="revoke-console-link")
    def revoke_console_link(self, request: Request, pk: str) -> Response:
        """Nobody looks by it any more, whoever made it; who does now is out within five seconds. Again is success."""
        revoke_link(self.target, self.read_body()["link"].pk, actor=request.user)
        return Response(status=204)
