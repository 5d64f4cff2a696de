"""Pages of instances, their keys and volumes. A verb of the table is one address."""
from django.urls import include, path

from compute.instances.console.urls import urlpatterns as console_pages
from compute.instances.verbs import VERBS
from compute.instances.views import creating, instances, keys, volumes

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

urlpatterns = [
    path("instances/", include((instance_pages, "instances"))),
    path("ssh-keys/", include((key_pages, "ssh_keys"))),
    path("volumes/", include(([path("", volumes.listing, name="list")], "volumes"))),
]
