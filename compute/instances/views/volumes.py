"""Volumes with the instances that they belong to: joins storage and instances, so it lives on the right-hand side."""
from django.http import HttpRequest, HttpResponse

from compute.instances.lists.volumes import VolumeList
from tenants.pages import page


@page("volume.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first."""
    return VolumeList(request).answer()
