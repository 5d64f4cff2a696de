"""Pages of instances, their keys, volumes and networks. A verb of the table is one address."""
from django.urls import include, path

from compute.instances.console.urls import urlpatterns as console_pages
from compute.instances.verbs import VERBS
from compute.instances.views import creating, floating_ips, hosts, instances, keys, networks, volumes
from compute.network import urls as network

instance_pages = [
    path("", instances.listing, name="list"),
    path("create/", creating.create, name="create"),
    path("create/summary/", creating.summary, name="summary"),
    path("<uuid:pk>/", instances.detail, name="detail"),
    path("", include("compute.instances.console.urls")),
    *[path(f"<uuid:pk>/{name}/", instances.act_on(verb), name=name) for name, verb in VERBS.items()],
    *console_pages,
]
key_pages = [
    path("", keys.listing, name="list"),
    path("add/", keys.add, name="add"),
    path("generate/", keys.generate, name="generate"),
    path("<uuid:pk>/delete/", keys.delete, name="delete"),
]

host_pages = [
    path("", hosts.listing, name="list"),
    path("<uuid:pk>/", hosts.detail, name="detail"),
    path("<uuid:pk>/prepare/", hosts.prepare, name="prepare"),
    path("<uuid:pk>/maintenance/", hosts.maintenance, name="maintenance"),
]

floating_ip_pages = [
    path("", floating_ips.listing, name="list"),
    path("create/", floating_ips.create, name="create"),
    *[path(f"<uuid:pk>/{name}/", view, name=name) for name, view in (
        ("associate", floating_ips.associate), ("disassociate", floating_ips.disassociate),
        ("release", floating_ips.release))],
]
vpc_pages = [*network.vpc_pages, path("<uuid:pk>/", networks.vpc, name="detail")]
port_pages = [
    *network.port_pages,
    path("<uuid:pk>/security-groups/", networks.port_groups, name="security-groups"),
    path("<uuid:pk>/floating-ip/", networks.port_address, name="floating-ip"),
]

urlpatterns = [
    path("instances/", include((instance_pages, "instances"))),
    path("ssh-keys/", include((key_pages, "ssh_keys"))),
    path("hosts/", include((host_pages, "hosts"))),
    path("vpcs/", include((vpc_pages, "vpcs"))),
    path("ports/", include((port_pages, "ports"))),
    path("floating-ips/", include((floating_ip_pages, "floating_ips"))),
    path("volumes/", include(([path("", volumes.listing, name="list")], "volumes"))),
]
