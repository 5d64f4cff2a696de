from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import (
    ADMINS,
    COUNTER,
    EVERYBODY,
    OPERATORS,
    Meter,
    Permission,
    QuotaDimension,
    ResourceKind,
    registry,
)


class NetworkConfig(AppConfig):
    """VPCs, subnets, ports, security groups, floating IPs, and the fabric that makes them real."""

    name = "compute.network"
    label = "network"
    verbose_name = _("Network")

    def ready(self) -> None:
        from compute.hosts.declared import chassis_listeners, network_rooms
        from compute.network import apply, idle, models, operations

        registry.add(
            Permission(name="vpc.view", label=_("See networks"), roles=EVERYBODY),
            Permission(name="vpc.manage", label=_("Make and delete VPCs, subnets and ports"), roles=ADMINS),
            Permission(name="securitygroup.view", label=_("See security groups"), roles=EVERYBODY),
            Permission(name="securitygroup.manage", label=_("Change security groups"), roles=ADMINS),
            Permission(name="floatingip.view", label=_("See floating IPs"), roles=EVERYBODY),
            Permission(name="floatingip.manage", label=_("Allocate and release floating IPs"), roles=ADMINS),
            Permission(name="floatingip.associate", label=_("Associate floating IPs"), roles=OPERATORS),
            ResourceKind(name="vpc", label=_("VPC"), label_plural=_("VPCs"), page="vpcs:detail", api="vpc-detail",
                         permission="vpc.view", icon="network"),
            ResourceKind(name="subnet", label=_("Subnet"), label_plural=_("Subnets"), api="subnet-detail",
                         permission="vpc.view", icon="network"),
            ResourceKind(name="port", label=_("Port"), label_plural=_("Ports"), api="port-detail", permission="vpc.view",
                         icon="plug"),
            ResourceKind(name="security_group", label=_("Security group"), label_plural=_("Security groups"),
                         page="security_groups:detail", api="security-group-detail", permission="securitygroup.view",
                         icon="shield"),
            ResourceKind(name="floating_ip", label=_("Floating IP"), label_plural=_("Floating IPs"),
                         page="floating_ips:detail", api="floating-ip-detail", permission="floatingip.view", icon="world"),
            Meter(name="floating_ip.attached", label=_("Floating IP, attached"), unit="second", price_unit=_("hour"),
                  service="Floating IPs", category="Networking"),
            Meter(name="floating_ip.idle", label=_("Floating IP, idle"), unit="second", price_unit=_("hour"),
                  service="Floating IPs", category="Networking"),
            Meter(name="network.public_traffic", label=_("Public traffic, outgoing"), unit="byte", price_unit=_("GB"),
                  kind=COUNTER, size=10**9, service="Public Traffic", category="Networking"),
            idle.RULE,
            QuotaDimension(name="vpcs", label=_("VPCs"), rows=models.Vpc.objects.live),
            QuotaDimension(name="subnets", label=_("Subnets"), rows=models.Subnet.objects.live),
            QuotaDimension(name="ports", label=_("Ports"), rows=models.Port.objects.live),
            QuotaDimension(name="security_groups", label=_("Security groups"), rows=models.SecurityGroup.objects.live),
            QuotaDimension(name="security_group_rules", label=_("Security group rules"), owner="group",
                           rows=lambda: models.SecurityGroupRule.objects.filter(group__deleted_at=None)),
            QuotaDimension(name="floating_ips", label=_("Floating IPs"), rows=models.FloatingIp.objects.live),
        )
        if operations.make_defaults not in registry.project_hooks:
            registry.project_hooks.append(operations.make_defaults)
        if operations.end_defaults not in registry.project_end_hooks:
            registry.project_end_hooks.append(operations.end_defaults)
        if models.physical_networks not in network_rooms:
            network_rooms.append(models.physical_networks)
        if apply.gateways_changed not in chassis_listeners:
            chassis_listeners.append(apply.gateways_changed)
