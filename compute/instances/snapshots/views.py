"""Pages of snapshots: the list, one of them, how one is taken, and how an instance goes back."""
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.prices import NoPrice, price_of
from compute.instances import guarding, operations
from compute.instances.lists.instances import rows_of
from compute.instances.models import HEAVY, Instance, Snapshot
from compute.instances.snapshots import tree, verbs
from compute.instances.snapshots.forms import RevertForm, TakeForm
from compute.instances.snapshots.lists import SnapshotList
from compute.instances.snapshots.taking import Taking, volumes_of
from compute.instances.verbs import VERBS, Verb
from compute.instances.views.sheets import UNDER_WAY, Danger, Sheet, Tab, cost_tab, edit_action, show, timeline_tab
from compute.network import queries
from compute.network.views.asking import ask, sent, show_form
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page

TAKE, REVERT = VERBS["snapshot"], VERBS["revert"]


@page(verbs.VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    return SnapshotList(request).answer()


def _snapshot(request: HttpRequest, pk: UUID, permission: str) -> Snapshot:
    rows = Snapshot.objects.select_related("project__organization", "region", "parent", "of_instance__host__endpoint", *UNDER_WAY)
    return fetch(request.user, rows.defer(*(f"of_instance__{name}" for name in HEAVY)), permission, pk=pk)


@page(verbs.VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, timeline or cost."""
    found = _snapshot(request, pk, verbs.VIEW)
    instance = found.of_instance
    tabs = {"overview": Tab(label=_("Overview"), part="snapshots/_snapshot.html", content=lambda: {
        "parts": found.parts.select_related("volume").order_by("-is_boot", "pk"),
        "is_current": instance.current_snapshot_id == found.pk, "danger": _danger(request, found)}),
        "timeline": timeline_tab(request, lambda: [pk]), "cost": cost_tab(request, found)}
    *actions, _delete = tree.actions_on(request, found, instance)
    return show(request, Sheet(row=found, list_page="snapshots:list", lead="snapshots/_snapshot_lead.html", tabs=tabs,
                               live=f"snapshot:{pk} instance:{instance.pk}", in_flight=found.in_flight,
                               context={"snapshot": found, "instance": instance},
                               actions=[*actions, edit_action(request, found, verbs.UPDATE, "snapshots:edit")]))


def _danger(request: HttpRequest, snapshot: Snapshot) -> Danger:
    return Danger(effects=[tree.effect_of_deleting()], action=tree.delete_action(request, snapshot, snapshot.of_instance))


@page(verbs.DELETE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _snapshot(request, pk, verbs.DELETE)
    back = f"{reverse('instances:detail', args=[found.of_instance_id])}?tab=snapshots"
    question = ask(request, title=_("Delete the snapshot “%(name)s”?") % {"name": found.name}, yes=_("Delete"),
                   text=tree.effect_of_deleting(), back=back)
    if question:
        return question
    verbs.delete_snapshot(found, actor=request.user)
    return acted(request, _("The snapshot is being deleted."), back)


@page(TAKE.permission, methods=("GET", "POST"))
def take(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How it is called; what it takes of quota and costs is shown beside."""
    instance = _possible(request, TAKE, pk)
    form = TakeForm(sent(request), instance=instance)
    wanted = Taking(instance=instance, name="")
    ways = [(_("Without memory"), wanted), (_("With memory"), replace(wanted, memory=True))]
    return _carry_out(request, TAKE, instance, form, title=_("Take a snapshot of “%(name)s”"),
                      quota=queries.limited(instance.project, instance.region, wanted.wanted),
                      prices=_prices(ways if "memory" in form.fields else [(_("Price"), wanted)]))


@page(REVERT.permission, methods=("GET", "POST"))
def revert(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?snapshot=` is chosen already."""
    instance = _possible(request, REVERT, pk)
    rows = Snapshot.objects.visible_to(request.user).live().filter(of_instance=instance, state=Snapshot.State.ACTIVE)
    snapshots = list(rows.order_by("-created_at", "-pk"))
    asked = request.GET.get("snapshot", "")
    chosen = next((one for one in snapshots if str(one.pk) == asked), None) or next(iter(snapshots), None)
    form = RevertForm(sent(request), snapshots=snapshots, chosen=chosen)
    return _carry_out(request, REVERT, instance, form, title=_("Revert “%(name)s” to a snapshot"))


def _possible(request: HttpRequest, verb: Verb, pk: UUID) -> Instance:
    rows = rows_of(request).select_related("region", "host__endpoint", "project__organization", "type")
    instance = fetch(request.user, rows, verb.permission, pk=pk)
    verb.require(instance)
    guarding.require(instance, verb.name)
    return instance


def _carry_out(request: HttpRequest, verb: Verb, instance: Instance, form: Any, *, title: str, **context: object) -> HttpResponse:
    home = reverse("instances:detail", args=[instance.pk])
    back = f"{home}?tab=snapshots"
    if request.method == "POST" and form.carried_out(
            lambda: operations.act(instance, verb.name, actor=request.user, **form.wishes())):
        return acted(request, _("%(verb)s: %(name)s – accepted.") % {"verb": verb.label, "name": instance.name}, back)
    return show_form(request, form, title=title % {"name": instance.name}, action=verb.label, lead=verb.confirm,
                     crumbs=[(instance.name, home)], back=back, **context)


def _prices(ways: list[tuple[str, Taking]]) -> list[tuple[str, Any]]:
    """What each costs a month; nothing where it has no price, which the verb then says."""
    instance = ways[0][1].instance
    volumes = list(volumes_of(instance))
    try:
        return [(label, price_of(instance.project.organization, instance.region, wanted.readings(volumes), None).monthly)
                for label, wanted in ways]
    except NoPrice:
        return []
