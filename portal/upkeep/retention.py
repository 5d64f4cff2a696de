"""Retention: what is forgotten, and when. One rule a line; a daily clock and `manage.py prune` apply them.

Kept for ever whatever the settings: resources (usage and audit point at them), usage, prices, credits and all other
money, members and roles. The audit trail too, unless `RETAIN_AUDIT_DAYS` says otherwise: it outlives what it names.
Rows go in batches, each a transaction of its own, so that nobody waits for a lock for long.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from billing import counters
from billing.exports import expiry
from billing.models import InvoiceMail
from compute.hosts.models import Discovered, Verdict
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.models import ScheduleRun
from compute.network.models import TrafficCount
from portal.kernel import sealing
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from portal.notices.models import Letter
from tenants.models import ApiKey, BrowserSession
from tenants.webhooks.models import Delivery, Webhook

log = structlog.get_logger(__name__)
BATCH = 500


@dataclass(frozen=True)
class Rule:
    """`rows` older than `days` go; 0 days: never. `rows` gets the moment before which a row is old, and so does `forget`,
    where deleting them is not all there is to it."""

    name: str
    days: Callable[[], int]
    rows: Callable[[datetime], QuerySet]
    forget: Callable[[datetime], int] | None = None

    def before(self, now: datetime) -> datetime | None:
        """The moment before which a row is old; None when this rule keeps everything."""
        days = self.days()
        return now - timedelta(days=days) if days > 0 else None


def _days(name: str) -> Callable[[], int]:
    return lambda: settings.RETENTION[name]


def _operations(before: datetime) -> QuerySet:
    """Ended long ago, with no part of theirs left: children go first, in the batches before."""
    children = Operation.objects.filter(parent=OuterRef("pk"))
    return Operation.objects.filter(finished_at__lt=before).filter(~Exists(children))


def _tickets(before: datetime) -> QuerySet:
    unused, ended = Q(used_at=None, expires_at__lt=before), Q(closed_at__lt=before)
    lost = Q(used_at__isnull=False, closed_at=None, seen_at__lt=before)
    return ConsoleTicket.objects.filter(unused | ended | lost)


def _keys(before: datetime) -> QuerySet:
    """Revoked or expired; the audit trail names keys by an id of its own."""
    return ApiKey.objects.filter(Q(revoked_at__lt=before) | Q(expires_at__lt=before))


def _verdicts(before: datetime) -> QuerySet:
    """Why a living instance is where it is stays known."""
    return Verdict.objects.filter(at__lt=before).exclude(is_chosen=True, consumer__deleted_at=None)


RULES = (
    Rule("sessions", lambda: 1, lambda before: BrowserSession.objects.filter(expire_date__lt=before)),
    Rule("tickets", _days("console_days"), _tickets),
    Rule("console_links", _days("console_days"), lambda before: ConsoleLink.objects.filter(expires_at__lt=before)),
    Rule("sign_ins", _days("sign_in_days"), lambda before: AccessAttempt.objects.filter(attempt_time__lt=before)),
    Rule("sign_in_faults", _days("sign_in_days"), lambda before: AccessFailureLog.objects.filter(attempt_time__lt=before)),
    Rule("sign_in_log", _days("sign_in_days"), lambda before: AccessLog.objects.filter(attempt_time__lt=before)),
    Rule("verdicts", _days("placement_days"), _verdicts),
    # The reconciler forgets what it no longer sees; these are of hosts at which it does not look any more.
    Rule("discovered", _days("placement_days"), lambda before: Discovered.objects.filter(last_seen_at__lt=before)),
    Rule("traffic_counts", _days("placement_days"), lambda before: TrafficCount.objects.filter(ended_at__lt=before)),
    # Not a setting: of what was used nothing is forgotten, only between which samples of an hour it was.
    Rule("counter_samples", lambda: counters.WHOLE_DAYS, counters.superfluous, forget=counters.thin),
    Rule("api_keys", _days("key_days"), _keys),
    Rule("deliveries", _days("delivery_days"), lambda before: Delivery.objects.filter(finished_at__lt=before)),
    Rule("letters", _days("notice_days"), lambda before: Letter.objects.filter(finished_at__lt=before)),  # with their notices
    Rule("invoice_mails", _days("bill_mail_days"), lambda before: InvoiceMail.objects.filter(finished_at__lt=before)),
    Rule("schedule_runs", _days("schedule_run_days"), lambda before: ScheduleRun.objects.filter(due_at__lt=before)),
    # Nobody sees them since they were deleted; a day later no transaction writes an event for them any more.
    Rule("webhooks", lambda: 1, lambda before: Webhook.objects.filter(deleted_at__lt=before)),
    Rule("exports", _days("export_days"), expiry.old, forget=expiry.remove),
    Rule("operations", _days("operation_days"), _operations),
    Rule("audit", _days("audit_days"), lambda before: AuditEvent.objects.filter(at__lt=before),
         forget=sealing.forget),
)


def counts() -> Iterator[tuple[Rule, int]]:
    """How many rows each rule would forget now, by itself."""
    now = database_now()
    for rule in RULES:
        before = rule.before(now)
        yield rule, rule.rows(before).count() if before else 0


def prune() -> dict[str, int]:
    """Forget what is due; how many rows, by rule. May be broken off at any moment and begun again."""
    now = database_now()
    gone = {rule.name: rule.forget(before) if rule.forget else _forget(rule.rows(before))
            for rule in RULES if (before := rule.before(now))}
    log.info("retention.pruned", **gone)
    return gone


def _forget(due: QuerySet) -> int:
    total = 0
    while keys := list(due.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            # Asked again: between the two statements an operation may have got a child.
            total += due.filter(pk__in=keys).delete()[0]
    return total
