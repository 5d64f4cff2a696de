"""The audit trail as its readers see it: the list with its filters, the same as lines of JSON, and the state of its chains."""
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from portal.kernel.admin.columns import RESULTS
from portal.kernel.api import AuditEventSerializer
from portal.kernel.declarations import registry
from portal.kernel.lists import Choice, Column, Day, Empty, Exact, Filter, RowChoice, Text, export, keys
from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.models.audit import about
from portal.kernel.operations import kinds
from portal.kernel.rest.projection import project
from portal.templatetags.ui import ACTS, CHANGED, kind_label, reason_of, resource_kind
from tenants.glass import visible_live
from tenants.lists import ID, Listing
from tenants.models import BreakGlass, User

CHAINS_SHOWN = 5
# What people do things to besides resources.
OTHER_KINDS = {"organization": _("Organization"), "project": _("Project"), "user": _("User"), "apikey": _("API key"),
               "operation": _("Operation")}
SELECTED = ("actor", "on_behalf_of", "project", "organization")


def _json_of(value: Any) -> str:
    return export.as_json(value).decode() if value is not None else ""


def _csv(label: Any, value: Any) -> Column:
    return Column(label=label, only_in_csv=True, value=value)


class Words(Text):
    """A part of what was done, or of the name of what it was done to."""

    def condition(self, value: str) -> Q:
        return about(value)


class TrailList(Listing):
    """Who did what, newest first, refused attempts included."""

    name, url_name, row_template, page_template = "audit", "audit:list", "audit/_row.html", "audit/list.html"
    title, ordering = _("Audit trail"), "-at"
    columns = (
        ID, Column(label=_("Time"), sort="at", value=lambda line: line.row.at),
        Column(label=_("What"), value=lambda line: line.row.action),
        Column(label=_("Target"), value=lambda line: line.row.target_name),
        Column(label=_("By"), kind="wide-only", value=lambda line: line.row.actor and line.row.actor.username),
        Column(label=_("Project"), kind="wide-only", for_all_projects=True,
               value=lambda line: line.row.project and line.row.project.name),
        Column(label=_("Address"), kind="wide-only", value=lambda line: line.row.address),
        Column(label=_("Result"), value=lambda line: line.row.result),
        _csv(_("Kind"), lambda line: line.row.target_type), _csv(_("Target's id"), lambda line: line.row.target_id),
        _csv(_("On behalf of"), lambda line: line.row.on_behalf_of and line.row.on_behalf_of.username),
        _csv(_("API key"), lambda line: line.row.api_key), _csv(_("Request"), lambda line: line.row.request_id),
        _csv(_("Route"), lambda line: line.row.route), _csv(_("Operation"), lambda line: line.row.operation_id),
        _csv(_("Organization"), lambda line: line.row.organization and line.row.organization.name),
        _csv(_("Before"), lambda line: _json_of(line.row.before)), _csv(_("After"), lambda line: _json_of(line.row.after)),
        _csv(_("Number in the chain"), lambda line: line.row.sequence), _csv(_("Hash"), lambda line: line.row.hash_text))
    empty = Empty(icon="history", title=_("Nothing has been done yet"), command="mains audit list",
                  text=_("Every change and every refused attempt is written here, with who did it and from where."))

    def rows(self) -> QuerySet[AuditEvent]:
        rows = AuditEvent.objects.visible_to(self.user).select_related(*SELECTED)
        return rows.filter(project=self.project) if self.project else rows

    def user_filters(self) -> tuple[Filter, ...]:
        return (
            Words(name="search", label=_("Act or name contains …")),
            Choice(name="action", label=_("What"), choices=_by_label({name: kind_label(name) for name in {*ACTS, *kinds}})),
            Choice(name="result", label=_("Result"), choices=list(RESULTS.items())),
            RowChoice(name="actor", label=_("By"), text="username", rows=lambda user: User.objects.visible_to(user),
                      is_extra=True),
            Choice(name="kind", label=_("Kind"), path="target_type", is_extra=True, choices=_by_label(
                {name: resource_kind(name) for name in registry.kinds} | OTHER_KINDS)),
            Exact(name="target", label=_("Target's id"), path="target_id", is_extra=True),
            Exact(name="address", label=_("Address"), check=ip_address, is_extra=True),
            Day(name="since", label=_("From"), path="at", is_extra=True),
            Day(name="until", label=_("To"), path="at", is_last=True, is_extra=True))

    def answer(self, *, status: int = 200, **context: object) -> HttpResponse:
        if self.query.get("format") == "jsonl":
            return export.answer_lines(self.name, self._objects)
        return super().answer(status=status, **context)

    @property
    def lines_file(self) -> str:
        return self._with(format="jsonl")

    def _objects(self, cursor: str | None, limit: int) -> tuple[Iterable[dict[str, Any]], str | None]:
        found = keys(self.matching.all(), self.sorted_by, cursor, limit)
        by_pk = {row.pk: row for row in self.read(found.pks)}
        return project(AuditEventSerializer, [by_pk[pk] for pk in found.pks if pk in by_pk], {}), found.next

    def name_of(self, row: AuditEvent) -> str:
        return f"{kind_label(row.action)} {row.target_name}"

    @property
    def accesses(self) -> list[BreakGlass]:
        """Emergency accesses that are open to what the user sees the trail of."""
        return visible_live(self.user)

    @property
    def chains(self) -> list[AuditChain]:
        """The chains that the user may see whole, of the project's organization when one is looked at."""
        chains = AuditChain.objects.visible_to(self.user).select_related("organization").order_by("organization__name", "pk")
        if self.project:
            chains = chains.filter(organization=self.project.organization_id)
        return list(chains[:CHAINS_SHOWN])


def _by_label(choices: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(choices.items(), key=lambda choice: str(choice[1]).casefold())


def changes_of(event: AuditEvent) -> list[tuple[Any, str, str]]:
    """Each field that was written with its values before and after, whole; empty where there was none."""
    before, after = event.before or {}, event.after or {}
    if "reason" in after:
        after = {**after, "reason": reason_of(event)}
    return [(CHANGED.get(name, name), _told(before.get(name)), _told(after.get(name))) for name in {**before, **after}]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else _json_of(value)
