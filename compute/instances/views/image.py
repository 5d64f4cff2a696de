"""The page of one image: what it needs, and which instances were made from it."""
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import related
from compute.instances.models import HEAVY, Instance
from compute.instances.views.sheets import UNDER_WAY, Action, Danger, Sheet, Tab, edit_action, may_not, show, timeline_tab
from compute.network.views.asking import ask
from portal.kernel.pages import acted
from storage import operations
from storage.models import Image
from tenants.access import fetch
from tenants.pages import page


@page("image.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, instances or timeline. Public images are everybody's to look at."""
    image = fetch(request.user, Image.objects.select_related("project__organization", "region", *UNDER_WAY), "image.view", pk=pk)
    tabs = {"overview": Tab(label=_("Overview"), part="storage/_image.html",
                            content=lambda: _overview(request, image)),
            "instances": Tab(label=_("Instances"), part="resources/_instances.html", content=lambda: {
                **related.shown(request, Q(image=image)), "no_instances": _("No instance of yours was made from it.")}),
            "timeline": timeline_tab(request, lambda: [pk])}
    return show(request, Sheet(row=image, list_page="images:list", lead="storage/_image_lead.html", tabs=tabs,
                               live=f"image:{pk} instance", in_flight=Image.TONES[image.state] == "busy",
                               actions=_actions(request, image), context={
                                   "image": image, "is_foreign": not request.user.grants.may("project.view", image.project_id)}))


def _overview(request: HttpRequest, image: Image) -> dict[str, Any]:
    """With the instance that it was made of and the image which that had, as far as the reader may see them; and, of an own one,
    how it is deleted."""
    made_of = Instance.objects.visible_to(request.user).defer(*HEAVY).filter(pk=image.of_instance).first()
    had = Image.objects.visible_to(request.user).filter(pk=image.of_image_id).first() if image.of_image_id else None
    is_own = not image.is_public and image.state != Image.State.DELETED
    return {"made_of": made_of, "had": had, "danger": _danger(request, image) if is_own else None}


def _danger(request: HttpRequest, image: Image) -> Danger:
    effects = [_("Nothing starts from it any more, and it costs nothing from then on."),
               _("Instances that were made from it keep their disks.")]
    why_not = may_not(request, "image.delete", image) or ("" if image.is_retirable else _("It is being made."))
    return Danger(effects=effects, action=Action(
        label=_("Delete image"), symbol="trash", url=reverse("images:delete", args=[image.pk]), is_bad=True,
        question=_("Delete the image “%(name)s”?") % {"name": image.name}, text="\n".join(effects), why_not=why_not))


@page("image.delete", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A project's own."""
    image = fetch(request.user, Image.objects.select_related("project"), "image.delete", pk=pk)
    question = ask(request, title=_("Delete the image “%(name)s”?") % {"name": image.name}, yes=_("Delete"),
                   text=_("Nothing starts from it any more. Instances that were made from it keep their disks."),
                   back=reverse("images:detail", args=[pk]))
    if question:
        return question
    operations.delete_image(image, actor=request.user)
    return acted(request, _("The image was deleted."), reverse("images:list"), leave=True)


def _actions(request: HttpRequest, image: Image) -> list[Action]:
    why_not = "" if image.state == Image.State.ACTIVE else _("This image is not ready.")
    if not request.user.grants.may_anywhere("instance.create"):
        why_not = _("Your role does not include this.")
    create = Action(label=_("Create instance"), symbol="plus", url=f"{reverse('instances:create')}?image={image.pk}",
                    is_link=True, why_not=why_not)
    foreign = may_not(request, "image.update", image)
    edit = edit_action(request, image, "image.update", "images:edit")
    return [create] if foreign and image.visibility == Image.Visibility.PUBLIC else [create, edit]
