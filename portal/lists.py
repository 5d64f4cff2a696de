"""What the lists of operations and of API keys show: columns, filters, verbs on many rows. The pages are in `views`."""
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal import queries
from portal.kernel import audit
from portal.kernel.lists import Choice, Column, Empty, Text
from portal.kernel.models import Operation
from portal.kernel.operations import kinds, request_cancel
from portal.kernel.operations.submit import retry_now
from portal.progress import Shown, shown
from portal.templatetags.ui import error_text, kind_label, lasted
from tenants import operations as tenants
from tenants.bulk import BulkVerb
from tenants.lists import BY_REGION, CREATED, ID, NAME, STATE, Listing, states
from tenants.models import ApiKey
from tenants.pages import STAFF
from tenants.scope import narrow

SELECTED = ("target", "project__organization", "actor", "region")
BY_TARGET = Text(name="name", label=_("Name contains …"), paths=("target__name",))
KIND = Column(label=_("Operation"), value=lambda line: kind_label(line.row.kind))
TARGET = Column(label=_("Target"), only_in_csv=True, value=lambda line: line.row.target and line.row.target.name)
FAULT = Column(label=_("Error"), only_in_csv=True, value=lambda line: error_text(line.row.error))


def _project_of(line: Any) -> str | None:
    return line.row.project and line.row.project.name


def cancel(operation: Operation, user: Any) -> None:
    """Ask the engine to turn back. Raises StateConflict where it does not any more."""
    request_cancel(operation)
    audit.record("operation.cancel", operation, actor=user, operation=operation)


def retry(operation: Operation, user: Any) -> None:
    """Let the engine try the failing step again at once."""
    retry_now(operation)
    audit.record("operation.retry", operation, actor=user, operation=operation)


class OperationList(Listing):
    """A tenant's operations, newest first."""

    name, url_name, row_template = "operations", "operations:list", "operations/_row.html"
    title, live, has_actions = _("Operations"), "operation", True
    columns = (
        ID, KIND, TARGET, STATE, Column(label=_("Project"), kind="wide-only", for_all_projects=True, value=_project_of),
        Column(label=_("By"), kind="wide-only", value=lambda line: line.row.actor and line.row.actor.username),
        Column(label=_("Duration"), kind="wide-only text-end", value=lambda line: lasted(line.row)),
        Column(label=_("Accepted"), sort="created_at", value=CREATED.value), FAULT)
    filters = (BY_TARGET, states(Operation.State.choices), BY_REGION)
    verbs = (BulkVerb(name="cancel", label=_("Cancel"), icon="ban", permission="operation.cancel", act=cancel,
                      effect=_("What they did so far is undone."),
                      why_not=lambda row: "" if row.is_live else _("It is over already.")),)
    empty = Empty(icon="activity", title=_("Nothing has been done yet"), command="mains operation list",
                  text=_("Every change that takes a while shows its progress here."))

    def rows(self) -> QuerySet[Operation]:
        return narrow(self.request, Operation.objects.visible_to(self.user)).select_related(*SELECTED)

    def items(self, rows: list[Operation]) -> list[Shown]:
        return shown(rows, self.user)

    def user_filters(self) -> tuple[Any, ...]:
        names = sorted(((name, kind_label(name)) for name in kinds), key=lambda choice: choice[1])
        return (*self.filters, Choice(name="kind", label=_("Operation"), choices=names, is_extra=True))

    def is_changing(self, row: Operation) -> bool:
        return row.is_live

    def name_of(self, row: Operation) -> str:
        return f"{kind_label(row.kind)} · {row.target.name}" if row.target else kind_label(row.kind)


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """An operation with what the engine will do about it."""

    work: Shown
    forward_only: bool


class StuckList(OperationList):
    """What the engine cannot settle alone, oldest first; for operators, over all projects."""

    name, url_name, row_template, ordering = "operator", "operator:operations", "operations/_operator_row.html", "created_at"
    title, live = _("Operations that need a person"), "operation"
    columns = (
        ID, KIND, TARGET,
        Column(label=_("State"), value=lambda line: _("needs a person") if line.row.person_since else _("overdue")),
        Column(label=_("Project"), kind="wide-only", value=_project_of),
        Column(label=_("Tries"), kind="wide-only text-end", value=lambda line: line.row.attempts),
        Column(label=_("Accepted"), sort="created_at", value=CREATED.value), FAULT)
    filters = (BY_TARGET, Choice(name="state", label=_("State"), means=lambda value: Q(person_since__isnull=value != "person"),
                                 choices=[("person", _("needs a person")), ("overdue", _("overdue"))]), BY_REGION)
    verbs = (BulkVerb(name="retry", label=_("Retry now"), icon="refresh", permission=STAFF, act=retry),
             BulkVerb(name="cancel", label=_("Cancel"), icon="ban", permission=STAFF, act=cancel,
                      effect=_("What they did so far is undone.")))
    empty = Empty(icon="circle-check", title=_("Nothing needs a person"),
                  text=_("Operations that fail again and again, or take longer than their deadline, appear here with what the "
                         "engine will do next."))

    def rows(self) -> QuerySet[Operation]:
        return queries.needing_a_person().select_related(*SELECTED)

    def items(self, rows: list[Operation]) -> list[Stuck]:
        return [Stuck(work=work, forward_only=work.operation.kind in kinds
                      and kinds[work.operation.kind].is_past_pivot(work.operation)) for work in shown(rows, self.user)]


@dataclass(frozen=True, kw_only=True)
class Validity:
    """Whether a key still opens anything."""

    is_expired: bool


class ApiKeyList(Listing):
    """The user's own API keys, newest first. The form that makes one stands beside it."""

    name, url_name, row_template = "api-keys", "api_keys:list", "portal/_api_key_row.html"
    title, has_actions, page_template = _("API keys"), True, "portal/api_keys.html"
    columns = (
        ID, NAME, Column(label=_("Prefix"), only_in_csv=True, value=lambda line: line.row.prefix),
        Column(label=_("Project"), kind="wide-only", value=_project_of),
        Column(label=_("Permissions"), kind="extra wide-only", value=lambda line: " ".join(line.row.scopes)),
        Column(label=_("Last used"), kind="wide-only", value=lambda line: line.row.last_used_at),
        Column(label=_("From"), only_in_csv=True, value=lambda line: line.row.last_used_from),
        Column(label=_("Accepted from"), only_in_csv=True, value=lambda line: " ".join(line.row.networks)),
        Column(label=_("Expires"), kind="wide-only", value=lambda line: line.row.expires_at),
        Column(label=CREATED.label, sort="created_at", kind="wide-only extra", value=CREATED.value))
    filters = (Text(name="name", label=_("Name contains …"), starts=("prefix",)),)
    verbs = (BulkVerb(name="revoke", label=_("Revoke"), icon="ban", permission="apikey.manage", is_dangerous=True,
                      effect=_("Programs that use them are refused at once. This cannot be undone."),
                      act=lambda key, user: tenants.revoke_api_key(key, actor=user)),)
    empty = Empty(icon="api", title=_("No API keys yet"), command="mains api-key create ci",
                  text=_("A key lets a program do what you may do, or less. Everything on these pages can also be done by REST."))

    def rows(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.visible_to(self.user).filter(owner=self.user.pk, revoked_at=None).select_related("project")

    def items(self, rows: list[ApiKey]) -> list[Validity]:
        now = timezone.now()
        return [Validity(is_expired=row.expires_at is not None and row.expires_at <= now) for row in rows]

    def name_of(self, row: ApiKey) -> str:
        return row.name
