"""The page of one image: what it needs, and which instances were made from it."""
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import related
from compute.instances.views.sheets import UNDER_WAY, Action, Sheet, Tab, edit_action, may_not, show, timeline_tab
from storage.models import Image
from tenants.access import fetch
from tenants.pages import page


@page("image.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, instances or timeline. Public images are everybody's to look at."""
    image = fetch(request.user, Image.objects.select_related("project__organization", "region", *UNDER_WAY), "image.view", pk=pk)
    tabs = {"overview": Tab(label=_("Overview"), part="storage/_image.html"),
            "instances": Tab(label=_("Instances"), part="resources/_instances.html", content=lambda: {
                **related.shown(request, Q(image=image)), "no_instances": _("No instance of yours was made from it.")}),
            "timeline": timeline_tab(request, lambda: [pk])}
    return show(request, Sheet(row=image, list_page="images:list", lead="storage/_image_lead.html", tabs=tabs,
                               live=f"image:{pk} instance", actions=_actions(request, image), context={
                                   "image": image, "is_foreign": not request.user.grants.may("project.view", image.project_id)}))


def _actions(request: HttpRequest, image: Image) -> list[Action]:
    why_not = "" if image.state == Image.State.ACTIVE else _("This image is not ready.")
    if not request.user.grants.may_anywhere("instance.create"):
        why_not = _("Your role does not include this.")
    create = Action(label=_("Create instance"), symbol="plus", url=f"{reverse('instances:create')}?image={image.pk}",
                    is_link=True, why_not=why_not)
    foreign = may_not(request, "image.update", image)
    edit = edit_action(request, image, "image.update", "images:edit")
    return [create] if foreign and image.visibility == Image.Visibility.PUBLIC else [create, edit]
