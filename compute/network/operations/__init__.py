from .defaults import default_group, default_subnet, end_defaults, make_defaults
from .floating import allocate_floating_ip, associate, disassociate, release
from .security import add_rule, create_group, delete_group, delete_rule, set_groups
from .vpcs import create_port, create_subnet, create_vpc, delete_port, delete_subnet, delete_vpc

__all__ = ["add_rule", "allocate_floating_ip", "associate", "create_group", "create_port", "create_subnet", "create_vpc",
           "default_group", "default_subnet", "delete_group", "delete_port", "delete_rule", "delete_subnet", "delete_vpc",
           "disassociate", "end_defaults", "make_defaults", "release", "set_groups"]
