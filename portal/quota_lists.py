"""What the list of quota requests shows. The pages are in `portal.views.quotas`."""
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.lists import Choice, Column, Empty, Filter
from portal.templatetags.ui import dimension_label
from tenants.lists import CREATED, ID, STATE, Listing, states
from tenants.models import QuotaRequest
from tenants.quota_requests import ASK

MINE = "mine"
TONES = {"open": "busy", "granted": "ok", "partly": "ok", "refused": "bad", "withdrawn": "off"}


class QuotaRequestList(Listing):
    """Requests for higher limits of what the user sees; `?for=mine` those that wait for the user."""

    name, url_name, row_template = "quota-requests", "quota_requests:list", "tenants/_quota_request_row.html"
    title = _("Quota requests")
    columns = (
        ID, Column(label=_("For"), value=lambda line: str(line.row.scope)),
        Column(label=_("Resource"), value=lambda line: dimension_label(line.row.dimension)),
        Column(label=_("Region"), kind="wide-only", value=lambda line: str(line.row.region or "")),
        Column(label=_("Wanted limit"), kind="text-end", value=lambda line: line.row.wanted), STATE,
        Column(label=_("Requested by"), kind="wide-only", value=lambda line: line.row.requested_by.username), CREATED)
    empty = Empty(icon="chart-bar", title=_("No quota requests"), action=_("Ask for more"), url_name="quota_requests:create",
                  permission=ASK, command="mains quota-request list",
                  text=_("Where a limit is too low, ask whoever sets it for a higher one."))

    filters = (states(QuotaRequest.State.choices),)

    def user_filters(self) -> tuple[Filter, ...]:
        waiting = Choice(name="for", label=_("Waiting for"), choices=[(MINE, _("My answer"))], means=self._waiting)
        return (*self.filters, waiting)

    def _waiting(self, _value: str) -> Q:
        return Q(pk__in=QuotaRequest.objects.open().decided_by(self.user).values("pk"))

    def rows(self) -> QuerySet[QuotaRequest]:
        rows = QuotaRequest.objects.visible_to(self.user).select_related("organization", "project", "region", "requested_by")
        if self.project is None:
            return rows
        return rows.filter(Q(project=self.project) | Q(project=None, organization=self.project.organization_id))

    def items(self, rows: list[QuotaRequest]) -> list[str]:
        """The tone of each one's state."""
        return [TONES[row.state] for row in rows]

    def name_of(self, row: QuotaRequest) -> str:
        return str(row)
