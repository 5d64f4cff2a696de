"""All images that the user may start instances from. The page of one is in `image`."""
from django.http import HttpRequest, HttpResponse

from compute.instances.lists.images import ImageList
from tenants.pages import page


@page("image.view")
def listing(request: HttpRequest) -> HttpResponse:
    """By name."""
    return ImageList(request).answer()
