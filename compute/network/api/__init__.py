from .floating import AddressPoolViewSet, FabricViewSet, FloatingIpViewSet
from .security import SecurityGroupRuleViewSet, SecurityGroupViewSet
from .vpcs import PortViewSet, SubnetViewSet, VpcViewSet

__all__ = ["AddressPoolViewSet", "FabricViewSet", "FloatingIpViewSet", "PortViewSet", "SecurityGroupRuleViewSet",
           "SecurityGroupViewSet", "SubnetViewSet", "VpcViewSet"]
