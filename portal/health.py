"""Is it alive, is it ready, how is it doing: `/livez`, `/readyz`, `/metrics`.

Ready means that requests can be served, so only PostgreSQL and migrations decide; broker, work and hosts are reported.
Strangers learn yes or no. Details are for superusers and for those who ask from this very machine; `/metrics` also for whoever
has its token, where there is one (METRICS_TOKEN).
"""
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import redis
from django.conf import settings
from django.db import Error as DatabaseFault
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.urls import path
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from redis.backoff import NoBackoff
from redis.retry import Retry

from compute.hosts.models import Host
from compute.instances.console.models import ConsoleTicket
from compute.instances.models import Instance
from compute.monitoring import measuring
from compute.monitoring.models import Due
from portal.kernel import maintenance
from portal.kernel.models import AuditChain, Operation
from portal.kernel.rest import rate
from portal.kernel.states import database_now
from tenants.pages import page

LOOPBACK = ("127.0.0.1", "::1")
# A proxy in front makes everybody look local; these headers give it away.
FORWARDED = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP")
BROKER_LIMIT_S = 0.5


def may_see_details(request: HttpRequest) -> bool:
    is_local = request.META.get("REMOTE_ADDR") in LOOPBACK and not any(name in request.headers for name in FORWARDED)
    return is_local or (request.user.is_active and request.user.is_superuser)


@never_cache
@page(public=True)
def livez(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@never_cache
@page(public=True)
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when requests can be served, else 503."""
    try:
        checks = _checks()
    except DatabaseFault:
        return JsonResponse({"status": "unavailable"}, status=503)
    is_ready = checks["migrated"]
    body: dict[str, object] = {"status": "ok" if is_ready else "unavailable"}
    if is_ready and maintenance.is_on():
        body["maintenance"] = True
    if may_see_details(request):
        body |= {"checks": checks}
    return JsonResponse(body, status=200 if is_ready else 503)


def _checks() -> dict[str, object]:
    checks: dict[str, object] = {"database": True, "migrated": _is_migrated(), "broker": _broker_answers(),
                                  "limits_shared": rate.is_shared()}
    if checks["migrated"]:
        checks |= {"oldest_due_s": _oldest_due_s(), "needs_person": _needing_a_person().count(), "hosts": _hosts()}
    return checks


_migrated = False


def _is_migrated() -> bool:
    """Reading all migrations is slow, so a yes is kept: migrations do not go away under a running process."""
    global _migrated
    connection.ensure_connection()
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    else:
        database_now()
    return _migrated


def _broker_answers() -> bool:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=BROKER_LIMIT_S,
                                  socket_timeout=BROKER_LIMIT_S,
                                  retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _oldest_due_s() -> float:
    """How long the oldest due operation has waited for a worker: the pulse of workers and sweeper."""
    due = Operation.objects.unfinished().filter(run_after__lte=Now(), person_since=None)
    oldest = due.aggregate(oldest=Min("run_after"))["oldest"]
    return round((database_now() - oldest).total_seconds(), 1) if oldest else 0.0


def _oldest_queued_s() -> float:
    """How long the oldest operation that nobody has begun has been waiting, maintenance included."""
    oldest = Operation.objects.filter(state=Operation.State.QUEUED).aggregate(oldest=Min("created_at"))["oldest"]
    return round((database_now() - oldest).total_seconds(), 1) if oldest else 0.0


def _needing_a_person() -> QuerySet[Operation]:
    return Operation.objects.unfinished().filter(person_since__isnull=False)


def _hosts() -> list[dict[str, object]]:
    return [{"name": name, "state": state, "health": health, "last_seen_at": seen} for name, state, health, seen in
            Host.objects.order_by("name").values_list("name", "state", "health", "last_seen_at")[:1000]]


# -- metrics --

counters = CollectorRegistry()
REQUESTS = Counter("mains_http_requests_total", "HTTP requests.", ["method", "view", "status"], registry=counters)
LATENCY = Histogram("mains_http_request_seconds", "Time to answer.", ["view"], registry=counters,
                    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
counters.register(rate.UNSHARED)
counters.register(rate.REFUSED)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class MetricsMiddleware:
    """Counts and times requests by view name: never by path, which strangers could invent without end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        view = request.resolver_match.view_name if request.resolver_match else "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(method, view, str(response.status_code)).inc()
        LATENCY.labels(view).observe(time.perf_counter() - started)
        return response


class Census:
    """What the database says at the moment of the scrape."""

    def collect(self) -> Iterator[Metric]:
        recent = Operation.objects.unfinished() | Operation.objects.filter(finished_at__gt=Now() - timedelta(days=1))
        yield _counted("mains_operations", "Operations, live or finished within a day.", recent, "kind", "state")
        yield _counted("mains_instances", "Instances by state.", Instance.objects.live(), "state")
        yield _counted("mains_hosts", "Hosts by health.", Host.objects.all(), "state", "health")
        # One whose process was killed is not seen any more.
        open_now = ConsoleTicket.objects.open().filter(seen_at__gt=Now() - timedelta(seconds=10))
        yield GaugeMetricFamily("mains_console_sessions", "Open consoles.", value=open_now.count())
        yield GaugeMetricFamily("mains_operations_oldest_due_seconds", "Wait of the oldest due operation.",
                                value=_oldest_due_s())
        yield GaugeMetricFamily("mains_operations_need_person", "Operations that need a person.",
                                value=_needing_a_person().count())
        yield GaugeMetricFamily("mains_operations_oldest_queued_seconds", "Wait of the oldest operation not yet begun.",
                                value=_oldest_queued_s())
        yield GaugeMetricFamily("mains_audit_broken_chains", "Chains of the audit trail in which something is wrong.",
                                value=AuditChain.objects.exclude(fault="").count())
        yield from _condition()
        yield from _measuring()

    def describe(self) -> list[Metric]:
        return []  # registering must not ask the database


def _condition() -> Iterator[Metric]:
    """The portal's own state. Without a backup there is no age: alert on its absence too."""
    state, now = maintenance.current(), database_now()
    since = (now - state.draining_since).total_seconds() if state.draining_since else 0
    yield GaugeMetricFamily("mains_maintenance", "1 while operations are held back.", value=int(state.draining_since is not None))
    yield GaugeMetricFamily("mains_maintenance_seconds", "For how long they have been held back.", value=since)
    if state.backup_at:
        yield GaugeMetricFamily("mains_backup_age_seconds", "Age of the newest backup.",
                                value=(now - state.backup_at).total_seconds())
        yield GaugeMetricFamily("mains_backup_bytes", "Size of the newest backup.", value=state.backup_bytes)


def _measuring() -> Iterator[Metric]:
    """How measuring goes, by region: the oldest news of a host that is asked, the slowest pass, and passes that failed. One that
    was never measured is as old as its row. What counts up is of all hosts: it must not fall when one goes away."""
    asked = Q(pk__in=measuring.hosts())
    rows = Host.objects.order_by().values(place=F("region__slug")).annotate(
        oldest=Min(Coalesce("measuring__at", "created_at"), filter=asked), slowest=Max("measuring__duration_ms", filter=asked),
        failing=Count("measuring", filter=asked & Q(measuring__fault__gt="")), passes=Sum("measuring__passes"),
        failures=Sum("measuring__failures"))
    families = {
        "age": GaugeMetricFamily("mains_measuring_age_seconds", "Age of the oldest host's newest pass.", labels=["region"]),
        "slowest": GaugeMetricFamily("mains_measuring_pass_seconds", "Duration of the slowest newest pass.", labels=["region"]),
        "failing": GaugeMetricFamily("mains_measuring_failing_hosts", "Hosts whose newest pass failed.", labels=["region"]),
        "passes": CounterMetricFamily("mains_measuring_passes", "Passes over hosts.", labels=["region"]),
        "failures": CounterMetricFamily("mains_measuring_failures", "Passes over hosts that failed.", labels=["region"])}
    now = database_now()
    for row in rows:
        told = row | {"passes": row["passes"] or 0, "failures": row["failures"] or 0}
        told["age"] = row["oldest"] and (now - row["oldest"]).total_seconds()
        told["slowest"] = row["slowest"] and row["slowest"] / 1000
        for name, family in families.items():
            if told[name] is not None:  # of a region where no host is asked
                family.add_metric([row["place"]], told[name])
    yield from families.values()
    yield GaugeMetricFamily("mains_measuring_due_minutes", "Minutes whose samples are not yet summed up.",
                            value=Due.objects.values("at").distinct().count())


def _counted(name: str, text: str, rows: QuerySet, *fields: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=fields)
    for row in rows.order_by().values(*fields).annotate(n=Count("pk")):
        family.add_metric([str(row[field]) for field in fields], row["n"])
    return family


census = CollectorRegistry()
census.register(Census())


def _counted_by_all() -> CollectorRegistry:
    """The counters of all web processes, where there are several (portal.web); else those of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return counters
    together = CollectorRegistry()
    MultiProcessCollector(together)
    return together


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    return bool(settings.METRICS_TOKEN) and constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")


@never_cache
@page(public=True)
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text; absent for strangers."""
    if not (_has_token(request) or may_see_details(request)):
        return HttpResponseNotFound()
    try:
        return HttpResponse(generate_latest(census) + generate_latest(_counted_by_all()), content_type=CONTENT_TYPE_LATEST)
    except DatabaseFault:
        return HttpResponse(status=503)


urlpatterns = [path("livez", livez, name="livez"), path("readyz", readyz, name="readyz"),
               path("metrics", metrics, name="metrics")]
