"""One of everything for two organizations, made row by row: what the permission matrix points at."""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network
from typing import Any

from django.contrib.auth.models import Group as DjangoGroup
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Model
from django.test import override_settings

from billing import vouchers
from billing.models import (
    Account,
    Budget,
    BudgetAlarm,
    Counter,
    Credit,
    Entry,
    Export,
    ExportSchedule,
    Invoice,
    Payment,
    Price,
    PriceBook,
    UsageInterval,
    Voucher,
)
from compute.hosts.models import Endpoint, Host
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.models import (
    Instance,
    InstanceSchedule,
    InstanceType,
    LaunchTemplate,
    LaunchTemplateVersion,
    ScheduleRun,
    Snapshot,
    SnapshotVolume,
    SshKey,
)
from compute.network.addressing import allocate, new_mac
from compute.network.models import (
    AddressPool,
    Allocation,
    Fabric,
    FloatingIp,
    Port,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
)
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent, Operation, Region, Zone
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from storage.models import Attachment, Image, Pool, Volume
from tenants.models import (
    ApiKey,
    Binding,
    BreakGlass,
    BrowserSession,
    Group,
    Invitation,
    Organization,
    Project,
    Quota,
    QuotaRequest,
    Role,
    ServiceUser,
    User,
)
from tenants.webhooks.models import Delivery, Webhook
from tests.billing import bills
from tests.billing.bills import Used
from tests.cast import UNLIMITED, Cast, make_cast

Rows = dict[type[Model], Any]


@dataclass
class Scene:
    """The cast, and a row of every model: ours, and the rival's."""

    cast: Cast
    ours: Rows
    theirs: Rows


@contextmanager
def standing_scene(blocker: Any, **settings: Any) -> Iterator[Scene]:
    """A scene for a whole module, in one transaction that ends with it: no doorbells, no limit of requests a minute."""
    with blocker.unblock(), override_settings(DOORBELLS=False, API_RATE=UNLIMITED, **settings), transaction.atomic():
        with connection.cursor() as cursor:  # a test may wait for its turn on the machine
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield make_scene(make_cast())
        transaction.set_rollback(True)


def make_scene(cast: Cast) -> Scene:
    shared = make_shared(cast)
    ours = shared | make_rows(cast, cast.project, cast.alice, shared) | {
        User: cast.vera, Organization: cast.organization, Project: cast.project, Binding: Binding.objects.get(user=cast.vera)}
    theirs = shared | make_rows(cast, cast.rival_project, cast.mallory, shared) | {
        User: cast.mallory, Organization: cast.rival_organization, Project: cast.rival_project,
        Binding: Binding.objects.get(user=cast.mallory)}
    return Scene(cast, ours, theirs)


def make_shared(cast: Cast) -> Rows:
    """The catalogue and one host that is never contacted."""
    endpoint = Endpoint.objects.create(name="sim-1", driver="simulated", uri="simulated:///nowhere")
    host = Host.objects.create(region=cast.region, zone=cast.zone, name="sim-1", endpoint=endpoint, state="ready",
                               health="up", vcpus=64, memory_mib=262144)
    book = PriceBook.objects.create(name="List prices", is_default=True)
    since = DateTimeTZRange(database_now() - timedelta(days=1), None)
    prices = [Price.objects.create(book=book, region=cast.region, meter=meter, sku=sku, price_per_hour=Decimal("0.36"),
                                   valid=since)
              for meter, sku in (*((f"instance.{state}", size) for size in ("small", "tiny")
                                   for state in ("running", "stopped", "paused", "suspended")),
                                 ("volume", "local"), ("image", "standard"), ("snapshot", "local"),
                                 ("floating_ip.attached", "public"), ("floating_ip.idle", "public"))]
    return {
        Fabric: Fabric.objects.create(region=cast.region, driver="simulated", uri="simulated:memory/scenery"),
        AddressPool: AddressPool.objects.create(
            region=cast.region, slug="public", name="Public", cidr=IPv4Network("198.18.128.0/17"), gateway="198.18.128.1",
            first="198.18.128.10", last="198.18.255.250"),
        Region: cast.region, Zone: cast.zone, Host: host, Price: prices[0],
        Pool: Pool.objects.create(region=cast.region, host=host, name="mains", path="/nowhere"),
        InstanceType: InstanceType.objects.create(slug="small", name="Small", vcpus=1, memory_mib=256, root_disk_gib=1),
    }


def _size(cast: Cast, project: Project, shared: Rows) -> InstanceType:
    """The rival's instance is of the catalogue's one type, ours of another, so that it can be resized to that."""
    if project != cast.project:
        return shared[InstanceType]
    return InstanceType.objects.get_or_create(slug="tiny", defaults={
        "name": "Tiny", "vcpus": 1, "memory_mib": 256, "is_offered": False})[0]


def make_rows(cast: Cast, project: Project, owner: User, shared: Rows, *, number: int = 0) -> Rows:
    """One of everything that a project owns."""
    common = {"project": project, "region": cast.region}
    image = Image.objects.create(**common, name=f"image-{number}", state="active", virtual_size=2**28)
    instance = Instance.objects.create(**common, name=f"web-{number}", state="stopped", type=_size(cast, project, shared),
                                       vcpus=1, memory_mib=256, image=image, zone=cast.zone, host=shared[Host])
    volume = Volume.objects.create(**common, name=f"root-{number}", state="in_use", size_gib=1, image=image,
                                   pool=shared[Pool])
    Attachment.objects.create(volume=volume, domain=instance.pk, is_boot=True)
    now = database_now()
    operation = Operation.objects.create(kind="instance.start", **common, actor=owner, target=image,
                                         plan=kinds["instance.start"].plan, run_after=now, deadline=now)
    Quota.objects.get_or_create(**common, dimension="vcpus", defaults={"limit": 1000})
    used = UsageInterval.objects.create(resource=instance, **common, meter="instance.running", sku="small", quantity=Decimal(1),
                                        period=DateTimeTZRange(now - timedelta(hours=1), None))
    return make_bill(common, used, number) | make_network(common, shared[AddressPool], instance, number) | make_people(
        common, owner, number) | make_program(project, number) | make_webhook(
            project, owner, operation, number) | {
        Image: image, Instance: instance, Volume: volume, Operation: operation,
        SshKey: SshKey.objects.create(**common, name=f"key-{number}", public_key="ssh-ed25519 AAAA x",
                                      fingerprint="SHA256:x"),
        AuditEvent: AuditEvent.objects.create(action="instance.start", project=project, actor=owner, resource=instance,
                                              organization=project.organization),
        ApiKey: ApiKey.objects.create(owner=owner, name=f"k-{number}", prefix=f"mns_{owner.username}{number}",
                                      secret_hash="x"),
        Credit: Credit.objects.create(organization=project.organization, amount=10, currency="CNY", reason=f"gift {number}",
                                      created_at=now - timedelta(hours=1)),
        UsageInterval: used,
        **make_budget(project, number),
        **make_exports(project, number),
        **make_schedule(project, instance, owner, number),
        **make_template(common, owner, number),
        **make_snapshot(common, instance, volume, number),
        **make_console(instance, owner, number),
        Counter: Counter.objects.create(resource=instance, **common, meter="instance.traffic", epoch=number, sku="small"),
    }


# What a request may ask besides, depending on the clock.
ONCE_A_MINUTE = 'UPDATE "tenants_browsersession" SET "last_seen_at"'
VOUCHER = "7KQ2M-9X4TB-C0WFR-31ZXY"


def make_console(instance: Instance, owner: User, number: int) -> Rows:
    """Somebody has it open, and a link lets others look."""
    now, name = database_now(), f"{instance.pk} {number}"
    common = {"instance": instance, "generation": instance.generation, "expires_at": now + timedelta(hours=1)}
    return {
        ConsoleTicket: ConsoleTicket.objects.create(**common, user=owner, session_hash="x", secret_hash=name, used_at=now,
                                                    seen_at=now),
        ConsoleLink: ConsoleLink.objects.create(**common, maker=owner, secret_hash=name)}


def make_budget(project: Project, number: int) -> Rows:
    """A project's budget, which was reached, and a voucher that anybody may redeem."""
    now = database_now()
    budget = Budget.objects.create(
        organization=project.organization, project=project, name=f"budget-{number}", amount=100, currency="CNY",
        thresholds=[{"percent": 80, "basis": "actual", "actions": ["notify"]}])
    signs = vouchers.digest(vouchers.read_code(VOUCHER))
    voucher = Voucher.objects.get_or_create(digest=signs, defaults={
        "hint": VOUCHER[:4], "amount": 5, "currency": "CNY", "most_uses": 1000, "reason": "hello", "valid_from": now,
        "created_at": now})[0]
    return {Budget: budget, Voucher: voucher, BudgetAlarm: BudgetAlarm.objects.create(
        budget=budget, since=now, until=now + timedelta(days=1), percent=80, basis="actual", actions=["notify"], amount=100,
        currency="CNY", spent=81, forecast=99, at=now)}


def make_bill(common: Rows, used: UsageInterval, number: int) -> Rows:
    """A month's invoice, of which little is still to be paid, its payment, and something paid in advance."""
    organization = common["project"].organization
    made = bills.invoice(organization, Used(**common, interval=used), month=f"{2999 - number // 12}-{number % 12 + 1:02}")
    payment = bills.paid(made, made.total - Decimal("0.10"), reference=f"{organization.pk} {number}")
    with transaction.atomic():
        bills.book(made, "payment", {Account.CASH: Decimal(1), Account.PREPAID: Decimal(-1)}, invoice=None,
                   key=f"advance {organization.pk} {number}")
    return {Invoice: made, Payment: payment, Entry: made.entries.first()}


def make_exports(project: Project, number: int) -> Rows:
    """A file of the books, and a schedule that makes some."""
    common = {"organization": project.organization, "what": "focus", "format": "csv", "created_at": database_now()}
    schedule = ExportSchedule.objects.create(**common, name=f"export-{number}", every="month", secret="whsec_x",
                                             url=f"https://bills.example.org/{number}", next_at=database_now())
    return {ExportSchedule: schedule, Export: Export.objects.create(
        **common, first_month="2026-10", last_month="2026-10", state="ready", finished_at=database_now())}


def make_schedule(project: Project, instance: Instance, owner: User, number: int) -> Rows:
    """What is done to the instance by the clock, and what became of it once."""
    now = database_now()
    schedule = InstanceSchedule.objects.create(
        project=project, name=f"nights-{number}", verb="stop", instance=instance, owner=owner, cron="0 20 * * *",
        next_at=now + timedelta(days=1), created_at=now)
    return {InstanceSchedule: schedule, ScheduleRun: ScheduleRun.objects.create(
        schedule=schedule, due_at=now, created_at=now, state="done", results=[
            {"instance": str(instance.pk), "name": instance.name, "outcome": "unchanged", "operation": None, "error": None}])}


def make_template(common: Rows, owner: User, number: int) -> Rows:
    """What a create form asked for, kept once."""
    template = LaunchTemplate.objects.create(**common, name=f"template-{number}")
    return {LaunchTemplate: template, LaunchTemplateVersion: LaunchTemplateVersion.objects.create(
        template=template, number=1, values={"count": 2}, user_data="#!/bin/sh", created_at=database_now(), created_by=owner)}


def make_snapshot(common: Rows, instance: Instance, volume: Volume, number: int) -> Rows:
    """The instance as it was once, on its one volume."""
    snapshot = Snapshot.objects.create(**common, name=f"before-{number}", of_instance=instance, state="active", disk_gib=1,
                                       vcpus=1, memory_mib=256)
    return {Snapshot: snapshot, SnapshotVolume: SnapshotVolume.objects.create(
        snapshot=snapshot, volume=volume, size_gib=1, is_boot=True)}


def make_people(common: Rows, owner: User, number: int) -> Rows:
    """What an organization makes for its people, and what they leave."""
    project, now = common["project"], database_now()
    organization, names = project.organization, sorted(name for name, one in registry.dimensions.items() if one.regional)
    named = DjangoGroup.objects.create(name=f"{project.pk} {number}")
    return {
        Group: Group.objects.create(organization=organization, name=f"people-{number}", auth_group=named),
        Role: Role.objects.create(organization=organization, name=f"role-{number}", permissions=["instance.view"]),
        Invitation: Invitation.objects.create(
            organization=organization, project=project, role="viewer", email=f"new-{number}@example.org", invited_by=owner,
            token_hash=f"{project.pk} {number}", sent_at=now, expires_at=now + timedelta(days=7)),
        QuotaRequest: QuotaRequest.objects.create(
            **common, organization=organization, requested_by=owner, wanted=50, reason=f"growth {number}",
            dimension=names[number % len(names)], **({} if number < len(names) else {"state": "withdrawn"})),
        BrowserSession: BrowserSession.objects.create(
            user=owner, session_key=f"{owner.username}-{number}", session_data="", address="192.0.2.7",
            agent="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", expire_date=now + timedelta(days=1)),
    }


def make_program(project: Project, number: int) -> Rows:
    """A program's identity, and an operator's way in."""
    user = User.objects.create(is_service=True, username=f"service-{project.pk}-{number}", password="!")
    now = database_now()
    return {
        ServiceUser: ServiceUser.objects.create(id=user.pk, user=user, project=project, name=f"program-{number}"),
        BreakGlass: BreakGlass.objects.create(
            operator=User.objects.get(username="root"), organization=project.organization, project=project, reason="help",
            started_at=now, expires_at=now + timedelta(hours=1)),
    }


def make_webhook(project: Project, owner: User, operation: Operation, number: int) -> Rows:
    """A receiver of the project's events, and one that waits for it."""
    webhook = Webhook.objects.create(organization=project.organization, project=project, name=f"hook-{number}", maker=owner,
                                     events=["instance.*"], url=f"https://hooks.example.org/{number}", secret="whsec_x")
    return {Webhook: webhook, Delivery: Delivery.objects.create(
        webhook=webhook, event_id=operation.pk, type="instance.start.failed", payload={}, next_at=database_now())}


def make_network(common: Rows, pool: AddressPool, instance: Instance, number: int) -> Rows:
    """The instance's network, from its VPC to its floating IP."""
    vpc = Vpc.objects.create(**common, name=f"net-{number}", cidr=IPv4Network("10.0.0.0/16"), pool=pool)
    subnet = Subnet.objects.create(**common, name=f"lan-{number}", vpc=vpc, cidr=IPv4Network("10.0.0.0/24"), gateway="10.0.0.1")
    group = SecurityGroup.objects.create(**common, name=f"group-{number}")
    port = Port.objects.create(**common, name=f"card-{number}", subnet=subnet, mac=new_mac(), ip="10.0.0.2", domain=instance.pk)
    port.groups.set([group])
    floating = FloatingIp.objects.create(**common, name=f"public-{number}", state="attached", pool=pool, port=port)
    return {
        Vpc: vpc, Subnet: subnet, SecurityGroup: group, Port: port, FloatingIp: floating,
        Allocation: allocate(pool, floating),
        SecurityGroupRule: SecurityGroupRule.objects.create(group=group, direction="ingress", protocol="tcp", port_min=22,
                                                            port_max=22, description=f"SSH {number}"),
    }
