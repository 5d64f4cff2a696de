"""Every address that changes anything writes an audit row in the same transaction, or stands here with a reason.

The routes are all that the resolver knows, and what they are sent is what the permission matrix sends.
"""
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from billing.models import BillingProfile, InvoiceMail
from compute.hosts.models import Host
from compute.instances.models import Instance, InstanceType, Snapshot
from compute.network.addressing import allocate, new_mac
from compute.network.models import AddressPool, FloatingIp, Port, SecurityGroup, Subnet, Vpc
from portal.kernel.rest.rights import STAFF
from portal.kernel.states import database_now
from storage.models import Attachment, Volume
from tenants import operations as structure
from tenants.models import ApiKey, Organization, Project, User
from tests.portal.routes import Route, routes
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, address, key, model_of, ours

CHANGING = [route for route in routes() if route.method not in ("GET", "HEAD")]
WRITE = re.compile(r'^(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
# Written by any request: they are no change of anything.
PASSING = {"tenants_browsersession", "kernel_idempotencykey"}
NOT_AUDITED = {
    "instance-schedule-preview": "a question: when it would be due",
    "instances:summary": "a question: what it would cost", "instances:check": "a question: what is wrong with the form",
    "balance:top-up": "leads to where one pays; what is paid is audited", "balance:simulated": "the simulated provider's button",
    "balance-top-up": "leads to where one pays; what is paid is audited",
    "region": "which region a person looks at", "notifications:read": "which messages somebody has seen",
    "api-notifications-read": "which messages somebody has seen",
    "instances:console-ticket": "opening a console with the ticket is audited: tests/console/test_tickets.py",
    "instance-console": "opening a console with the ticket is audited: tests/console/test_tickets.py",
}
"""Address → why what it does is nothing to tell anybody."""

ELSEWHERE = {**dict.fromkeys(("instances:console-view.POST", "instance-console-view.POST"),
                             "wants a link; what is opened by it is audited: tests/console/test_sharing.py"),
             "revenue-to-close.POST": "wants a month that is over with something in it: tests/billing/test_closing_api.py",
             "invoice-rerate.POST": "wants a difference, and to be told to: tests/billing/test_closing_corrections.py",
             "impersonation-stop.POST": "wants to act as somebody: tests/breakglass/test_impersonation.py",
             "invitations:join.POST": "wants the link of a mail: tests/tenants/people/test_invitations.py",
             "notifications:unsubscribe.POST": "wants the link of a mail: tests/notifications/test_what_it_says.py"}
"""What the scene cannot do → where it is done and its audit row looked for."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is sent instead of what the matrix sends, which is refused there for the state that things are in."""

    who: str = "alice"
    pk: Any = None
    body: dict[str, Any] | None = None


Prepare = Callable[[Scene], Asked]


def mailed(scene: Scene) -> Asked:
    """Bills go to somebody, and none is on its way."""
    BillingProfile.objects.update_or_create(organization=scene.cast.organization, defaults={"email": "bills@acme.example"})
    InvoiceMail.objects.all().delete()
    return Asked()


def running(scene: Scene) -> Asked:
    Instance.objects.update(state="running")
    return Asked()


def heard(scene: Scene) -> Asked:
    """It runs, and its guest agent answers."""
    Instance.objects.update(state="running", agent="answers", agent_asked_at=database_now() + timedelta(seconds=1))
    return Asked()


def settled(state: str) -> Prepare:
    def make(scene: Scene) -> Asked:
        Instance.objects.update(state=state, recycled_at=database_now())
        return Asked()
    return make


def locked(scene: Scene) -> Asked:
    Instance.objects.update(locked_at=database_now())
    return Asked()


def protected(scene: Scene) -> Asked:
    Instance.objects.update(is_protected=True)
    return Asked()


def unused(model: type[Model]) -> Prepare:
    """One that nothing else hangs on."""
    def make(scene: Scene) -> Asked:
        common = {"project": scene.cast.project, "region": scene.cast.region, "name": "unused"}
        further = {
            Vpc: lambda: {"cidr": IPv4Network("10.7.0.0/16"), "pool": scene.ours[AddressPool]},
            Subnet: lambda: {"vpc": scene.ours[Vpc], "cidr": IPv4Network("10.0.7.0/24"), "gateway": "10.0.7.1"},
            SecurityGroup: dict,
            Port: lambda: {"subnet": scene.ours[Subnet], "mac": new_mac(), "ip": "10.0.0.77"},
            FloatingIp: lambda: {"state": "idle", "pool": scene.ours[AddressPool]}}
        row = model.objects.create(**common, **further[model]())
        if model is FloatingIp:
            allocate(scene.ours[AddressPool], row)
        return Asked(pk=row.pk)
    return make


def plugged(scene: Scene) -> Asked:
    """A card without a public address, and an address without a card."""
    FloatingIp.objects.filter(pk=scene.ours[FloatingIp].pk).update(port=None, state="idle")
    return Asked()


def free(scene: Scene) -> Asked:
    """The volume is in no instance."""
    Attachment.objects.filter(volume=scene.ours[Volume].pk).delete()
    Volume.objects.filter(pk=scene.ours[Volume].pk).update(state="available")
    return Asked()


def no_root(scene: Scene) -> Asked:
    Attachment.objects.filter(volume=scene.ours[Volume].pk).update(is_boot=False)
    return Asked()


def without_snapshots(scene: Scene) -> Asked:
    Snapshot.objects.update(state="deleted", deleted_at=database_now())
    return Asked()


def on_the_network(scene: Scene) -> Asked:
    Host.objects.update(chassis="chassis-1")
    return Asked()


def to_plugged(scene: Scene) -> Asked:
    plugged(scene)
    return Asked(body={"floating_ip": ours(scene, FloatingIp)})


def in_bulk(prepare: Prepare) -> Prepare:
    def make(scene: Scene) -> Asked:
        pk = prepare(scene).pk
        return Asked(body={"id": str(pk), "confirmed": "1", "typed_count": "1"}) if pk else Asked()
    return make


def organization(scene: Scene) -> Asked:
    row = structure.create_organization("Brief", owner=scene.cast.alice, actor=None)
    return Asked(pk=row.pk, body={"confirmed": "1", "typed_name": row.name})


def suspended(scene: Scene) -> Asked:
    Organization.objects.filter(pk=scene.cast.organization.pk).update(suspended_at=database_now())
    return Asked(who="root")


def project(scene: Scene) -> Asked:
    row = structure.create_project(scene.cast.organization, "brief", actor=None)
    return Asked(pk=row.pk, body={"confirmed": "1", "typed_name": row.name})


def below(scene: Scene) -> Asked:
    return Asked(body={"parent": str(project(scene).pk)})


def archived(scene: Scene) -> Asked:
    Project.objects.filter(pk=scene.cast.project.pk).update(archived_at=database_now())
    return Asked()


def erased(scene: Scene) -> Asked:
    scene.cast.oscar.set_unusable_password()
    scene.cast.oscar.save(update_fields=["password"])
    return Asked(who="oscar", body={"proof": "oscar"})


def new_key(scene: Scene) -> Asked:
    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return Asked(body={"project": str(scene.cast.project.pk), "name": "laptop", "public_key": public})


def rotated(scene: Scene) -> Asked:
    ApiKey.objects.update(previous_hash="x", previous_until=database_now() + timedelta(hours=1))
    return Asked()


def deactivated(scene: Scene) -> Asked:
    User.objects.filter(is_service=True).update(is_active=False)
    return Asked()


def offered(scene: Scene) -> Asked:
    InstanceType.objects.update(is_offered=True)
    return Asked()


OTHERWISE: dict[str, Prepare] = {
    **dict.fromkeys(("api-key-end-previous.POST", "api_keys:end-previous.POST"), rotated),
    **dict.fromkeys(("instance-unlock.POST", "instances:unlock.POST"), locked),
    **dict.fromkeys(("instance-unprotect.POST", "instances:unprotect.POST"), protected),
    **dict.fromkeys(("instance-reset-password.POST", "instances:reset-password.POST"), heard),
    **dict.fromkeys(("instance-clone.POST", "instances:clone.POST"), offered),
    **dict.fromkeys(("instance-rebuild.POST", "instances:rebuild.POST"), without_snapshots),
    **dict.fromkeys(("volume-attach.POST", "volumes:attach.POST", "instances:attach-volume.POST", "volume-detail.DELETE",
                     "volumes:delete.POST"), free),
    **dict.fromkeys(("volume-detach.POST", "volumes:detach.POST"), no_root),
    **dict.fromkeys(("instance-attach-port.POST", "instances:attach-port.POST"), on_the_network),
    **dict.fromkeys(("instance-detach-port.POST", "ports:detach.POST"), plugged),
    **dict.fromkeys(("service-user-activate.POST", "service_users:activate.POST"), deactivated),
    **dict.fromkeys(("instances:console-ticket.POST", "instances:bulk-stop.POST", "instances:bulk-reboot.POST",
                     "instances:bulk-pause.POST", "instances:bulk-suspend.POST", "instance-pause.POST", "instance-suspend.POST",
                     "instance-console.POST", "instances:console-links.POST", "instance-console-links.POST",
                     "instance-reboot.POST", "instance-stop.POST"), running),
    **dict.fromkeys(("instances:stop.POST", "instances:reboot.POST", "instances:pause.POST", "instances:suspend.POST"),
                    lambda scene: replace(running(scene), body={"confirmed": "1"})),
    "instances:unrescue.POST": lambda scene: replace(settled("rescued")(scene), body={"confirmed": "1"}),
    **dict.fromkeys(("instances:bulk-unrescue.POST", "instance-unrescue.POST"), settled("rescued")),
    **dict.fromkeys(("instances:resume.POST", "instances:bulk-resume.POST", "instance-resume.POST"), settled("suspended")),
    **dict.fromkeys(("instances:restore.POST", "instances:bulk-restore.POST", "instance-restore.POST"), settled("recycled")),
    **{f"{api}-detail.DELETE": unused(model) for api, model in (
        ("vpc", Vpc), ("subnet", Subnet), ("security-group", SecurityGroup), ("port", Port), ("floating-ip", FloatingIp))},
    "vpcs:delete.POST": lambda scene: replace(unused(Vpc)(scene), body={"confirmed": "1", "typed_name": "unused"}),
    "subnets:delete.POST": unused(Subnet), "security_groups:delete.POST": unused(SecurityGroup),
    "ports:delete.POST": unused(Port), "floating_ips:release.POST": unused(FloatingIp),
    "vpcs:bulk-delete.POST": in_bulk(unused(Vpc)), "security_groups:bulk-delete.POST": in_bulk(unused(SecurityGroup)),
    "floating_ips:bulk-release.POST": in_bulk(unused(FloatingIp)), "ports:floating-ip.POST": to_plugged,
    "floating_ips:associate.POST": plugged, "floating-ip-associate.POST": plugged, "ssh_keys:add.POST": new_key,
    "organizations:delete.POST": organization, "organization-detail.DELETE": organization, "organization-resume.POST": suspended,
    "projects:delete.POST": project, "project-detail.DELETE": project, "projects:move.POST": below,
    "projects:unarchive.POST": archived, "project-unarchive.POST": archived,
    "profile:delete.POST": erased, **dict.fromkeys(("invoices:send.POST", "invoice-send.POST"), mailed),
    **dict.fromkeys(("profile:leave.POST", "me-leave.POST"), lambda scene: Asked(who="vera")),
}


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        yield scene


def written(scene: Scene, route: Route) -> tuple[Any, set[str]]:
    """The answer, and the tables that were written to."""
    with transaction.atomic():
        asked = OTHERWISE.get(key(route), lambda scene: Asked())(scene)
        who = "root" if route.permission == STAFF else asked.who
        client = scene.cast.api(who) if route.is_api else scene.cast.browser(who)
        body = asked.body if asked.body is not None and not route.is_api else (
            BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene)
        pk = (asked.pk or scene.ours[model_of(route)].pk) if route.takes_an_id else None
        with CaptureQueriesContext(connection) as captured:
            response = getattr(client, route.method.lower())(
                address(route, pk), body, **({"format": "json"} if route.is_api else {}))
        transaction.set_rollback(True)
    found = (WRITE.match(query["sql"]) for query in captured.captured_queries)
    return response, {match[1] for match in found if match} - PASSING


@pytest.mark.django_db
@pytest.mark.parametrize("route", CHANGING, ids=str)
def test_every_change_is_audited_or_has_a_reason(scene: Scene, route: Route) -> None:
    response, tables = written(scene, route)
    if route.name in NOT_AUDITED:
        assert response.status_code < 400 and tables <= {"tenants_user", "console_consoleticket"}
    elif key(route) in ELSEWHERE:
        assert "kernel_auditevent" not in tables, "it is done here after all"
    else:
        assert "kernel_auditevent" in tables, (response.status_code, response.content[-600:], tables)
