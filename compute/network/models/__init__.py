from .fabric import AddressPool, Allocation, Fabric, physical_networks
from .floating import FloatingIp
from .security import SecurityGroup, SecurityGroupRule
from .traffic import TrafficCount
from .vpc import Port, Subnet, Vpc

__all__ = ["AddressPool", "Allocation", "Fabric", "FloatingIp", "Port", "SecurityGroup", "SecurityGroupRule", "Subnet",
           "TrafficCount", "Vpc", "physical_networks"]
