"""Pages of networks. `vpc_pages` and `port_pages` are completed by `compute.instances.urls`, whose pages show instances too."""
from django.urls import include, path

from compute.network.views import security_groups, vpcs

vpc_pages = [
    path("", vpcs.listing, name="list"),
    path("create/", vpcs.create, name="create"),
    path("<uuid:pk>/delete/", vpcs.delete, name="delete"),
    path("<uuid:pk>/add-subnet/", vpcs.add_subnet, name="add-subnet"),
    path("<uuid:pk>/add-port/", vpcs.add_port, name="add-port"),
]
port_pages = [path("<uuid:pk>/delete/", vpcs.delete_port, name="delete")]
group_pages = [
    path("", security_groups.listing, name="list"),
    path("create/", security_groups.create, name="create"),
    path("<uuid:pk>/", security_groups.detail, name="detail"),
    path("<uuid:pk>/add-rule/", security_groups.add_rule, name="add-rule"),
    path("<uuid:pk>/delete/", security_groups.delete, name="delete"),
]

urlpatterns = [
    path("subnets/", include(([path("<uuid:pk>/delete/", vpcs.delete_subnet, name="delete")], "subnets"))),
    path("security-groups/", include((group_pages, "security_groups"))),
    path("security-group-rules/", include((
        [path("<uuid:pk>/delete/", security_groups.delete_rule, name="delete")], "security_group_rules"))),
]
