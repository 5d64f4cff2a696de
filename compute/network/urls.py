"""Pages of networks. Those of VPCs, subnets, ports and security groups are completed by `compute.instances.urls`, whose pages
show instances too."""
from django.urls import include, path

from compute.network.lists import GroupList, VpcList
from compute.network.views import security_groups, vpcs
from tenants.bulk import bulk_paths

vpc_pages = [
    path("", vpcs.listing, name="list"),
    path("create/", vpcs.create, name="create"),
    path("<uuid:pk>/delete/", vpcs.delete, name="delete"),
    path("<uuid:pk>/add-subnet/", vpcs.add_subnet, name="add-subnet"),
    path("<uuid:pk>/add-port/", vpcs.add_port, name="add-port"),
    *bulk_paths(VpcList),
]
subnet_pages = [path("<uuid:pk>/delete/", vpcs.delete_subnet, name="delete")]
port_pages = [path("<uuid:pk>/delete/", vpcs.delete_port, name="delete")]
group_pages = [
    path("", security_groups.listing, name="list"),
    path("create/", security_groups.create, name="create"),
    path("<uuid:pk>/delete/", security_groups.delete, name="delete"),
    *bulk_paths(GroupList),
]

urlpatterns = [
    path("security-group-rules/", include((
        [path("<uuid:pk>/delete/", security_groups.delete_rule, name="delete")], "security_group_rules"))),
]
