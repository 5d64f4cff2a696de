"""Pages of instances, their keys, volumes and networks. A verb of the table is one address."""
from collections.abc import Callable

from django.http import HttpResponse
from django.urls import include, path

from compute.instances.launch_templates import views as launch_templates
from compute.instances.launch_templates.lists import LaunchTemplateList
from compute.instances.lists.floating_ips import FloatingIpList
from compute.instances.lists.hosts import HostList
from compute.instances.lists.instances import InstanceList
from compute.instances.lists.keys import KeyList
from compute.instances.schedules import views as schedules
from compute.instances.snapshots import views as snapshots
from compute.instances.verbs import VERBS
from compute.instances.views import (
    agents,
    cards,
    copying,
    creating,
    editing,
    floating_ips,
    guards,
    hosts,
    image,
    images,
    instance,
    instances,
    keys,
    networks,
    resizing,
    rewriting,
    security_groups,
    volume,
    volumes,
    watchdog,
)
from compute.instances.volumes import views as making
from compute.network import urls as network
from tenants.bulk import bulk_paths

PAGES: dict[str, Callable[..., HttpResponse]] = {"rescue": rewriting.rescue, "rebuild": rewriting.rebuild,
                                                 "resize": resizing.resize, "capture": copying.capture,
                                                 "clone": copying.clone, "snapshot": snapshots.take,
                                                 "revert": snapshots.revert}
"""Verbs with a form of their own → its view, for GET and POST."""

instance_pages = [
    path("", instances.listing, name="list"),
    path("create/", creating.create, name="create"),
    path("create/summary/", creating.summary, name="summary"),
    path("create/check/", creating.check, name="check"),
    path("<uuid:pk>/", instance.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.instance, name="edit"),
    path("<uuid:pk>/menu/", instances.menu, name="menu"),
    *[path(f"<uuid:pk>/{name}/", view, name=name) for name, view in (
        ("lock", guards.lock), ("unlock", guards.unlock), ("protect", guards.protect), ("unprotect", guards.unprotect),
        ("watchdog", watchdog.watchdog), ("attach-volume", making.take), ("attach-port", cards.attach),
        ("reset-password", agents.reset_password))],
    path("", include("compute.instances.console.urls")),
    *[path(f"<uuid:pk>/{name}/", PAGES[name] if verb.has_form else instances.act_on(verb), name=name)
      for name, verb in VERBS.items()],
    *bulk_paths(InstanceList),
]
key_pages = [
    path("", keys.listing, name="list"),
    path("add/", keys.add, name="add"),
    path("generate/", keys.generate, name="generate"),
    path("<uuid:pk>/", keys.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.ssh_key, name="edit"),
    path("<uuid:pk>/delete/", keys.delete, name="delete"),
    *bulk_paths(KeyList),
]

schedule_pages = [
    path("", schedules.listing, name="list"),
    path("create/", schedules.create, name="create"),
    path("<uuid:pk>/", schedules.detail, name="detail"),
    *[path(f"<uuid:pk>/{name}/", view, name=name) for name, view in (
        ("edit", schedules.edit), ("enable", schedules.enable), ("disable", schedules.disable), ("delete", schedules.delete))],
]
template_pages = [
    path("", launch_templates.listing, name="list"),
    path("<uuid:pk>/", launch_templates.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.launch_template, name="edit"),
    path("<uuid:pk>/default/", launch_templates.default, name="default"),
    path("<uuid:pk>/delete/", launch_templates.delete, name="delete"),
    *bulk_paths(LaunchTemplateList),
]
snapshot_pages = [
    path("", snapshots.listing, name="list"),
    path("<uuid:pk>/", snapshots.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.snapshot, name="edit"),
    path("<uuid:pk>/delete/", snapshots.delete, name="delete"),
]
host_pages = [
    path("", hosts.listing, name="list"),
    path("<uuid:pk>/", hosts.detail, name="detail"),
    path("<uuid:pk>/prepare/", hosts.prepare, name="prepare"),
    path("<uuid:pk>/maintenance/", hosts.maintenance, name="maintenance"),
    *bulk_paths(HostList),
]

floating_ip_pages = [
    path("", floating_ips.listing, name="list"),
    path("create/", floating_ips.create, name="create"),
    path("<uuid:pk>/", floating_ips.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.floating_ip, name="edit"),
    *[path(f"<uuid:pk>/{name}/", view, name=name) for name, view in (
        ("associate", floating_ips.associate), ("disassociate", floating_ips.disassociate),
        ("release", floating_ips.release))],
    *bulk_paths(FloatingIpList),
]
vpc_pages = [
    *network.vpc_pages,
    path("<uuid:pk>/", networks.vpc, name="detail"),
    path("<uuid:pk>/edit/", editing.vpc, name="edit"),
]
subnet_pages = [*network.subnet_pages, path("<uuid:pk>/edit/", editing.subnet, name="edit")]
group_pages = [
    *network.group_pages,
    path("<uuid:pk>/", security_groups.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.security_group, name="edit"),
    path("<uuid:pk>/add-rule/", security_groups.add_rule, name="add-rule"),
]
port_pages = [
    *network.port_pages,
    path("<uuid:pk>/edit/", editing.port, name="edit"),
    path("<uuid:pk>/security-groups/", networks.port_groups, name="security-groups"),
    path("<uuid:pk>/floating-ip/", networks.port_address, name="floating-ip"),
    path("<uuid:pk>/detach/", cards.detach, name="detach"),
]
volume_pages = [
    path("", volumes.listing, name="list"),
    path("<uuid:pk>/", volume.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.volume, name="edit"),
    path("create/", making.create, name="create"),
    *[path(f"<uuid:pk>/{name}/", view, name=name) for name, view in (
        ("attach", making.attach), ("detach", making.detach), ("grow", making.grow), ("delete", making.delete))],
]
image_pages = [
    path("", images.listing, name="list"),
    path("<uuid:pk>/", image.detail, name="detail"),
    path("<uuid:pk>/edit/", editing.image, name="edit"),
    path("<uuid:pk>/delete/", image.delete, name="delete"),
]

urlpatterns = [
    path("instances/", include((instance_pages, "instances"))),
    path("instance-schedules/", include((schedule_pages, "instance_schedules"))),
    path("launch-templates/", include((template_pages, "launch_templates"))),
    path("snapshots/", include((snapshot_pages, "snapshots"))),
    path("ssh-keys/", include((key_pages, "ssh_keys"))),
    path("hosts/", include((host_pages, "hosts"))),
    path("vpcs/", include((vpc_pages, "vpcs"))),
    path("subnets/", include((subnet_pages, "subnets"))),
    path("security-groups/", include((group_pages, "security_groups"))),
    path("ports/", include((port_pages, "ports"))),
    path("floating-ips/", include((floating_ip_pages, "floating_ips"))),
    path("volumes/", include((volume_pages, "volumes"))),
    path("images/", include((image_pages, "images"))),
]
