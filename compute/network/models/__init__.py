from .fabric import AddressPool, Allocation, Fabric, physical_networks
from .floating import FloatingIp, count_floating_ips
from .security import SecurityGroup, SecurityGroupRule, count_rules, count_security_groups
from .vpc import Port, Subnet, Vpc, count_ports, count_subnets, count_vpcs

__all__ = ["AddressPool", "Allocation", "Fabric", "FloatingIp", "Port", "SecurityGroup", "SecurityGroupRule", "Subnet", "Vpc",
           "count_floating_ips", "count_ports", "count_rules", "count_security_groups", "count_subnets", "count_vpcs",
           "physical_networks"]
