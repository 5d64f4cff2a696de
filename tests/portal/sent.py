"""What the permission matrix sends: which model an address's id names, and a body or form that every route accepts."""
from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.urls import reverse

from billing.models import Budget, Export, ExportSchedule, Invoice, Issuer
from compute.hosts.models import Host
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.models import Instance, InstanceSchedule, InstanceType, LaunchTemplate, Snapshot, SshKey
from compute.network.models import AddressPool, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent, Operation, Region, Zone
from storage.models import Image, Volume
from tenants.models import (
    ApiKey,
    Binding,
    BreakGlass,
    BrowserSession,
    Group,
    Invitation,
    Organization,
    Project,
    QuotaRequest,
    Role,
    ServiceUser,
    User,
)
from tenants.webhooks.models import Delivery, Webhook
from tests.portal.routes import Route
from tests.portal.scenery import VOUCHER, Scene

# What the id in an HTML path names, by the address's namespace.
PAGE_MODELS: dict[str, type[Model]] = {
    "instances": Instance, "ssh_keys": SshKey, "operations": Operation, "audit": AuditEvent, "operator": Operation,
    "api_keys": ApiKey,
    "console": Instance, "hosts": Host, "vpcs": Vpc, "subnets": Subnet, "ports": Port, "security_groups": SecurityGroup,
    "security_group_rules": SecurityGroupRule, "floating_ips": FloatingIp, "volumes": Volume,
    "webhooks": Webhook, "webhook_deliveries": Delivery, "images": Image, "projects": Project, "organizations": Organization,
    "members": User, "bindings": Binding, "groups": Group, "roles": Role, "invitations": Invitation, "profile": User,
    "quota_requests": QuotaRequest, "budgets": Budget,
    "sessions": BrowserSession,
    "service_users": ServiceUser, "emergency": BreakGlass, "balance": Organization, "invoices": Invoice,
    "exports": Export, "export_schedules": ExportSchedule, "instance_schedules": InstanceSchedule,
    "launch_templates": LaunchTemplate, "snapshots": Snapshot,
}
Body = Callable[[Scene], dict[str, Any]]


def ours(scene: Scene, model: type[Model]) -> str:
    return str(scene.ours[model].pk)


def placed(scene: Scene, **further: Any) -> dict[str, Any]:
    """A new thing of our project in the region."""
    return {"name": "new", "project": str(scene.cast.project.pk), "region": ours(scene, Region)} | further


def over(scene: Scene) -> dict[str, Any]:
    """A month in which there was nothing to bill, for which somebody would."""
    Issuer.objects.get_or_create(pk=1, defaults={"name": "Waterworks"})
    return {"month": "2026-01"}


def in_project(scene: Scene) -> str:
    """Our project as forms name where a role holds."""
    return f"project:{ours(scene, Project)}"


# A body that is accepted, of every route that needs one: "<route name>.<method>".
BODIES: dict[str, Body] = {
    "organization-detail.PATCH": lambda scene: {"name": "Acme 2"},
    "project-list.POST": lambda scene: {"name": "db", "organization": str(scene.cast.organization.pk),
                                        "parent": str(scene.cast.project.pk)},
    "project-detail.PATCH": lambda scene: {"description": "new"},
    "organization-suspend.POST": lambda scene: {"reason": "unpaid"},
    "balance-top-up.POST": lambda scene: {"amount": "10"},
    "budget-list.POST": lambda scene: {"name": "Team", "project": ours(scene, Project), "amount": "1000", "currency": "CNY"},
    "budget-detail.PATCH": lambda scene: {"amount": "2000"},
    "voucher-redeem.POST": lambda scene: {"organization": ours(scene, Organization), "code": VOUCHER},
    "billing-profile-detail.PATCH": lambda scene: {"name": "Acme Ltd"},
    "invoice-credit-note.POST": lambda scene: {"amount": "0.01", "reason": "We were down"},
    "invoice-write-off.POST": lambda scene: {"reason": "Insolvent"},
    "invoice-adjust.POST": lambda scene: {"organization": ours(scene, Organization), "project": ours(scene, Project),
                                          "amount": "1.00", "text": "A visit"},
    "payment-list.POST": lambda scene: {"organization": ours(scene, Organization), "amount": "1.00", "currency": "CNY",
                                        "reference": "transfer 1"},
    "payment-refund.POST": lambda scene: {"organization": ours(scene, Organization), "amount": "0.05", "currency": "CNY",
                                          "reference": "transfer 2"},
    "project-quotas.PUT": lambda scene: {
        "limits": [{"region": ours(scene, Region), "resource": "instances", "limit": 9}]},
    "organization-quotas.PUT": lambda scene: {
        "limits": [{"region": ours(scene, Region), "resource": "instances", "limit": 9}]},
    "quota-request-list.POST": lambda scene: {
        "project": ours(scene, Project), "organization": None, "region": ours(scene, Region), "resource": "vcpus", "wanted": 2000,
        "reason": "more"},
    "quota-request-refuse.POST": lambda scene: {"answer": "no"},
    "api-key-list.POST": lambda scene: {"name": "ci"},
    "api-key-rotate.POST": lambda scene: {"overlap_hours": 1},
    "service-user-list.POST": lambda scene: {"name": "new", "project": ours(scene, Project)},
    "service-user-detail.PATCH": lambda scene: {"name": "renamed"},
    "break-glass-list.POST": lambda scene: {"organization": ours(scene, Organization), "project": ours(scene, Project),
                                            "reason": "ticket 1", "minutes": 5},
    "member-remove.POST": lambda scene: {"organization": ours(scene, Organization)},
    "member-make-owner.POST": lambda scene: {"organization": ours(scene, Organization)},
    "me-leave.POST": lambda scene: {"organization": ours(scene, Organization)},
    "me-notification-preferences.PUT": lambda scene: {"mail": {"operation.failed": "daily"}},
    "binding-list.POST": lambda scene: {"role": "viewer", "user": ours(scene, User), "project": ours(scene, Project)},
    "group-list.POST": lambda scene: {"name": "new", "organization": ours(scene, Organization)},
    "group-detail.PATCH": lambda scene: {"name": "renamed"},
    "group-add.POST": lambda scene: {"user": ours(scene, User)},
    "group-remove.POST": lambda scene: {"user": ours(scene, User)},
    "role-list.POST": lambda scene: {
        "name": "new", "organization": ours(scene, Organization), "permissions": ["instance.view"]},
    "role-detail.PATCH": lambda scene: {"name": "renamed"},
    "invitation-list.POST": lambda scene: {"email": "x@example.org", "role": "viewer", "project": ours(scene, Project)},
    "host-list.POST": lambda scene: {"name": "rack-2", "address": "root@10.99.7.12", "zone": ours(scene, Zone)},
    "host-maintenance.POST": lambda scene: {"enabled": True},
    "ssh-key-list.POST": lambda scene: {"name": "laptop", "project": str(scene.cast.project.pk), "generate": True},
    "instance-list.POST": lambda scene: {
        "name": "db", "project": str(scene.cast.project.pk), "region": ours(scene, Region), "zone": ours(scene, Zone),
        "type": ours(scene, InstanceType), "image": ours(scene, Image), "ssh_keys": [ours(scene, SshKey)],
        "subnets": [ours(scene, Subnet)], "security_groups": [ours(scene, SecurityGroup)]},
    "instance-end-console-session.POST": lambda scene: {"session": ours(scene, ConsoleTicket)},
    "instance-console-links.POST": lambda scene: {"minutes": 5},
    "instance-revoke-console-link.POST": lambda scene: {"link": ours(scene, ConsoleLink)},
    "instance-console-view.POST": lambda scene: {"link": "of another"},
    "revenue-to-close.POST": lambda scene: over(scene),
    "instance-rescue.POST": lambda scene: {"image": ours(scene, Image)},
    "instance-rebuild.POST": lambda scene: {"image": ours(scene, Image), "ssh_keys": [ours(scene, SshKey)]},
    "instance-capture.POST": lambda scene: {"name": "ready"},
    "instance-clone.POST": lambda scene: {"name": "twin"}, "instance-watchdog.POST": lambda scene: {"action": "reset"},
    "instance-attach-port.POST": lambda scene: {
        "subnet": ours(scene, Subnet), "security_groups": [ours(scene, SecurityGroup)]},
    "instance-detach-port.POST": lambda scene: {"port": ours(scene, Port)},
    "instance-snapshot.POST": lambda scene: {"name": "before"},
    "instance-revert.POST": lambda scene: {"snapshot": ours(scene, Snapshot)},
    "snapshot-detail.PATCH": lambda scene: {"name": "renamed"},
    "export-list.POST": lambda scene: {"organization": ours(scene, Organization), "what": "focus", "format": "csv",
                                       "first_month": "2026-10"},
    "export-schedule-list.POST": lambda scene: {"organization": ours(scene, Organization), "name": "warehouse", "what": "usage",
                                                "format": "json", "every": "month", "url": "https://bills.example.org/"},
    "export-schedule-detail.PATCH": lambda scene: {"enabled": False},
    "launch-template-list.POST": placed,
    "launch-template-detail.PATCH": lambda scene: {"default_version": 1},
    "launch-template-versions.POST": lambda scene: {"count": 2},
    "instance-schedule-list.POST": lambda scene: {"project": str(scene.cast.project.pk), "name": "nights off", "verb": "stop",
                                                  "instance": ours(scene, Instance), "cron": "0 20 * * 1-5"},
    "instance-schedule-detail.PATCH": lambda scene: {"enabled": False},
    "instance-schedule-preview.POST": lambda scene: {"cron": "0 20 * * 1-5", "time_zone": "Asia/Shanghai"},
    "webhook-list.POST": lambda scene: {"name": "chat", "project": str(scene.cast.project.pk), "events": ["*"],
                                        "url": "https://hooks.example.org/"},
    "webhook-detail.PATCH": lambda scene: {"events": ["*.failed"]},
    "ssh-key-detail.PATCH": lambda scene: {"name": "renamed"},
    "volume-list.POST": lambda scene: placed(scene, size_gib=1, zone=ours(scene, Zone), instance=ours(scene, Instance)),
    "volume-attach.POST": lambda scene: {"instance": ours(scene, Instance)},
    "volume-grow.POST": lambda scene: {"size_gib": 2},
    "volume-detail.PATCH": lambda scene: {"name": "renamed"},
    "image-detail.PATCH": lambda scene: {"name": "renamed"},
    "instance-detail.PATCH": lambda scene: {"name": "renamed"},
    "instance-resize.POST": lambda scene: {"type": ours(scene, InstanceType)},
    "vpc-list.POST": placed,
    "vpc-detail.PATCH": lambda scene: {"name": "renamed"},
    "subnet-list.POST": lambda scene: {"name": "new", "vpc": ours(scene, Vpc), "cidr": "10.0.1.0/24"},
    "subnet-detail.PATCH": lambda scene: {"name": "renamed"},
    "port-list.POST": lambda scene: {
        "name": "new", "subnet": ours(scene, Subnet), "security_groups": [ours(scene, SecurityGroup)]},
    "port-detail.PATCH": lambda scene: {"security_groups": [ours(scene, SecurityGroup)]},
    "security-group-list.POST": placed,
    "security-group-detail.PATCH": lambda scene: {"name": "renamed"},
    "security-group-rule-list.POST": lambda scene: {
        "security_group": ours(scene, SecurityGroup), "direction": "ingress", "protocol": "any",
        "remote_group": ours(scene, SecurityGroup)},
    "floating-ip-list.POST": lambda scene: placed(scene, pool=ours(scene, AddressPool)),
    "floating-ip-detail.PATCH": lambda scene: {"name": "renamed"},
    "floating-ip-associate.POST": lambda scene: {"port": ours(scene, Port)},
}
# What forms and query strings of pages carry.
FORMS: dict[str, Body] = {
    "balance:top-up.POST": lambda scene: {"amount": "10"},
    "balance:voucher.POST": lambda scene: {"code": VOUCHER},
    "budgets:create.POST": lambda scene: {"where": ours(scene, Project), "name": "Team", "amount": "1000", "currency": "CNY",
                                          "percent_0": "80", "basis_0": "actual", "notify_0": "on"},
    "budgets:edit.POST": lambda scene: {"name": "Team", "amount": "2000", "currency": "CNY", "percent_0": "80",
                                        "basis_0": "actual", "notify_0": "on"},
    "budgets:delete.POST": lambda scene: {"confirmed": "1"},
    "balance:profile.POST": lambda scene: {"name": "Acme Ltd", "language": "en"},
    "instances:create.POST": lambda scene: {
        "name": "db", "project": str(scene.cast.project.pk), "region": ours(scene, Region), "zone": "",
        "type": ours(scene, InstanceType), "image": ours(scene, Image), "subnets": ours(scene, Subnet),
        "security_groups": ours(scene, SecurityGroup), "ssh_keys": ours(scene, SshKey)},
    "instances:summary.POST": lambda scene: {
        "project": str(scene.cast.project.pk), "region": ours(scene, Region), "subnets": ours(scene, Subnet)},
    "instances:check.POST": lambda scene: {
        "project": str(scene.cast.project.pk), "region": ours(scene, Region), "subnets": ours(scene, Subnet)},
    "instances:end-console-session.POST": lambda scene: {"session": ours(scene, ConsoleTicket)},
    "instances:console-links.POST": lambda scene: {"valid_for": "60"},
    "instances:revoke-console-link.POST": lambda scene: {"link": ours(scene, ConsoleLink)},
    "instances:console-view.POST": lambda scene: {"link": "of another"},
    "instances:rescue.POST": lambda scene: {"image": ours(scene, Image)},
    "instances:rebuild.POST": lambda scene: {"image": ours(scene, Image), "typed_name": scene.ours[Instance].name},
    "instances:capture.POST": lambda scene: {"name": "ready"},
    "instances:clone.POST": lambda scene: {"name": "twin"},
    "volumes:create.POST": lambda scene: placed(scene, size_gib="1"),
    "volumes:attach.POST": lambda scene: {"instance": ours(scene, Instance)},
    "volumes:detach.POST": lambda scene: {"confirmed": "1"},
    "volumes:grow.POST": lambda scene: {"size_gib": "2"},
    "volumes:delete.POST": lambda scene: {"confirmed": "1", "typed_name": scene.ours[Volume].name},
    "instances:attach-volume.POST": lambda scene: {"volume": ours(scene, Volume)},
    "instances:attach-port.POST": lambda scene: {
        "subnet": ours(scene, Subnet), "security_groups": ours(scene, SecurityGroup)},
    "ports:detach.POST": lambda scene: {"confirmed": "1"},
    "instances:snapshot.POST": lambda scene: {"name": "before"},
    "instances:revert.POST": lambda scene: {"snapshot": ours(scene, Snapshot)},
    "snapshots:delete.POST": lambda scene: {"confirmed": "1"},
    "images:delete.POST": lambda scene: {"confirmed": "1"},
    "instances:delete.POST": lambda scene: {"confirmed": "1"},
    "instances:resize.POST": lambda scene: {"type": ours(scene, InstanceType)},
    "instances:purge.POST": lambda scene: {"confirmed": "1", "typed_name": scene.ours[Instance].name},
    "instances:lock.POST": lambda scene: {"reason": "production"},
    "instances:watchdog.POST": lambda scene: {"action": "reset"},
    "instances:reset-password.POST": lambda scene: {"user": "root"},
    "instance_schedules:create.POST": lambda scene: {
        "project": str(scene.cast.project.pk), "name": "nights off", "verb": "stop", "instance": ours(scene, Instance),
        "cron": "0 20 * * 1-5", "time_zone": "UTC"},
    "instance_schedules:edit.POST": lambda scene: {"name": "nights off", "verb": "stop", "tag": "env:test",
                                                   "cron": "0 21 * * 1-5", "time_zone": "UTC"},
    "launch_templates:default.POST": lambda scene: {"version": "1"},
    "launch_templates:delete.POST": lambda scene: {"confirmed": "1"},
    "instance_schedules:delete.POST": lambda scene: {"confirmed": "1"},
    "hosts:maintenance.POST": lambda scene: {"enabled": "1"},
    "ssh_keys:add.POST": lambda scene: {
        "project": str(scene.cast.project.pk), "name": "laptop", "public_key": "ssh-rsa x"},
    "ssh_keys:generate.POST": lambda scene: {"project": str(scene.cast.project.pk), "name": "laptop"},
    "ssh_keys:delete.POST": lambda scene: {"confirmed": "1"},
    "api_keys:create.POST": lambda scene: {"name": "ci"},
    "api_keys:rotate.POST": lambda scene: {"overlap": "1"},
    "api_keys:end-previous.POST": lambda scene: {"confirmed": "1"},
    "service_users:create.GET": lambda scene: {"project": ours(scene, Project)},
    "service_users:create.POST": lambda scene: {"project": ours(scene, Project), "name": "new"},
    "service_users:edit.POST": lambda scene: {"name": "renamed"},
    "service_users:bind.POST": lambda scene: {"role": "viewer", "scope": in_project(scene)},
    "service_users:add-key.POST": lambda scene: {"name": "ci"},
    "service_users:delete.POST": lambda scene: {"confirmed": "1"},
    "emergency:list.POST": lambda scene: {"organization": ours(scene, Organization), "reason": "ticket 1", "minutes": "60"},
    "members:invite.POST": lambda scene: {"email": "x@example.org", "role": "viewer", "scope": in_project(scene)},
    "members:bind.POST": lambda scene: {"role": "viewer", "scope": in_project(scene)},
    "members:remove.POST": lambda scene: {"organization": ours(scene, Organization), "confirmed": "1"},
    "members:make-owner.POST": lambda scene: {"organization": ours(scene, Organization), "confirmed": "1"},
    "bindings:delete.POST": lambda scene: {"confirmed": "1"},
    "invitations:revoke.POST": lambda scene: {"confirmed": "1"},
    "groups:create.POST": lambda scene: {"name": "new", "organization": ours(scene, Organization)},
    "groups:rename.POST": lambda scene: {"name": "renamed"},
    "groups:add.POST": lambda scene: {"user": ours(scene, User)},
    "groups:drop.POST": lambda scene: {"user": ours(scene, User)},
    "groups:bind.POST": lambda scene: {"role": "viewer", "scope": in_project(scene)},
    "groups:delete.POST": lambda scene: {"confirmed": "1"},
    "roles:create.POST": lambda scene: {
        "name": "new", "organization": ours(scene, Organization), "permissions": "instance.view"},
    "roles:edit.POST": lambda scene: {"name": "renamed", "permissions": "instance.view"},
    "roles:delete.POST": lambda scene: {"confirmed": "1"},
    "profile:leave.POST": lambda scene: {"organization": ours(scene, Organization), "confirmed": "1"},
    "profile:notifications.POST": lambda scene: {
        f"mail:{name}": "daily" for name, kind in registry.notices.items() if not kind.is_fixed},
    "projects:create.POST": lambda scene: {
        "name": "new", "organization": ours(scene, Organization), "parent": str(scene.cast.project.pk)},
    "projects:edit.POST": lambda scene: {"name": "renamed"},
    "projects:move.POST": lambda scene: {"parent": ""},
    "projects:limits.POST": lambda scene: {"api_keys": "9"},
    "organizations:limits.POST": lambda scene: {"api_keys": "9"},
    "quota_requests:create.POST": lambda scene: {
        "scope": in_project(scene), "resource": "vcpus", "region": ours(scene, Region), "wanted": "2000", "reason": "more"},
    "quota_requests:grant.POST": lambda scene: {"granted": "50", "answer": "yes"},
    "quota_requests:refuse.POST": lambda scene: {"answer": "no"},
    "quota_requests:withdraw.POST": lambda scene: {"confirmed": "1"},
    "projects:delete.POST": lambda scene: {"confirmed": "1", "typed_name": scene.ours[Project].name},
    "organizations:edit.POST": lambda scene: {"name": "Acme 2"},
    "organizations:delete.POST": lambda scene: {"confirmed": "1", "typed_name": scene.ours[Organization].name},
    "api_keys:revoke.POST": lambda scene: {"confirmed": "1"},
    "exports:create.POST": lambda scene: {"organization": ours(scene, Organization), "what": "focus", "format": "csv",
                                          "first_month": "2026-10"},
    "export_schedules:create.POST": lambda scene: {
        "organization": ours(scene, Organization), "name": "warehouse", "what": "usage", "format": "json", "every": "month",
        "method": "POST", "url": "https://bills.example.org/"},
    "export_schedules:delete.POST": lambda scene: {"confirmed": "1"},
    "webhooks:create.POST": lambda scene: {"where": str(scene.cast.project.pk), "name": "chat", "events": "*",
                                           "url": "https://hooks.example.org/"},
    "webhooks:edit.POST": lambda scene: {"name": "chat", "events": "*", "url": "https://hooks.example.org/"},
    "webhooks:rotate.POST": lambda scene: {"confirmed": "1"},
    "webhooks:delete.POST": lambda scene: {"confirmed": "1"},
    "vpcs:create.POST": lambda scene: placed(scene, cidr="10.9.0.0/16", subnet_name="new"),
    "vpcs:delete.POST": lambda scene: {"confirmed": "1", "typed_name": scene.ours[Vpc].name},
    "vpcs:add-subnet.POST": lambda scene: {"name": "new", "cidr": "10.0.1.0/24"},
    "vpcs:add-port.POST": lambda scene: {
        "name": "new", "subnet": ours(scene, Subnet), "security_groups": ours(scene, SecurityGroup)},
    "subnets:delete.POST": lambda scene: {"confirmed": "1"},
    "ports:delete.POST": lambda scene: {"confirmed": "1"},
    "ports:security-groups.POST": lambda scene: {"security_groups": ours(scene, SecurityGroup)},
    "ports:floating-ip.POST": lambda scene: {"floating_ip": ours(scene, FloatingIp)},
    "security_groups:create.POST": placed,
    "security_groups:delete.POST": lambda scene: {"confirmed": "1"},
    "security_groups:add-rule.POST": lambda scene: {
        "direction": "ingress", "preset": "https", "remote": "group", "remote_group": ours(scene, SecurityGroup)},
    "security_group_rules:delete.POST": lambda scene: {"confirmed": "1"},
    "floating_ips:create.POST": placed,
    "floating_ips:associate.POST": lambda scene: {"port": ours(scene, Port)},
    "floating_ips:disassociate.POST": lambda scene: {"confirmed": "1"},
    "floating_ips:release.POST": lambda scene: {"confirmed": "1"},
}
FORMS |= {f"{space}:edit.POST": lambda scene: {"name": "renamed", "description": "", "tags": "", "version": "1"}
          for space in ("instances", "ssh_keys", "volumes", "images", "vpcs", "subnets", "ports", "security_groups",
                        "floating_ips", "launch_templates", "snapshots")}
# Verbs on many rows of a list, one address each.
BULK = {"instances": (Instance, "start stop reboot pause suspend resume unrescue restore delete purge"),
        "ssh_keys": (SshKey, "delete"), "launch_templates": (LaunchTemplate, "delete"), "api_keys": (ApiKey, "revoke"),
        "hosts": (Host, "prepare maintain serve"), "vpcs": (Vpc, "delete"), "security_groups": (SecurityGroup, "delete"),
        "floating_ips": (FloatingIp, "disassociate release"), "operations": (Operation, "cancel"),
        "operator": (Operation, "retry cancel"), "invitations": (Invitation, "revoke")}
FORMS |= {f"{space}:bulk-{verb}.POST": lambda scene, model=model: {"id": ours(scene, model), "confirmed": "1", "typed_count": "1"}
          for space, (model, verbs) in BULK.items() for verb in verbs.split()}
# They are sent a form because it is long, and change nothing: what is wrong in it is their answer.
QUESTIONS = {"instances:summary", "instances:check"}


def key(route: Route) -> str:
    return f"{route.name}.{route.method}"


def model_of(route: Route) -> type[Model]:
    return route.model if route.is_api else PAGE_MODELS[route.name.split(":")[0]]


def address(route: Route, pk: object) -> str:
    name = route.name
    return reverse(name, args=[pk]) if route.takes_an_id else reverse(name)
