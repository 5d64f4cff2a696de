"""Every page, every GET of the API and every list of admin over 100,000 instances: statements and time of the server.

In process through Django's test client, each request with a connection of the pool as in a web process. A loop of fixed work
runs before each request: what it takes above its own best says how much of the machine was left for that address, so that
figures of a busy machine can be read ("alone"). `MAINS_REQUESTS=3` for a quick look; `MAINS_ONLY=instances:list` for some
addresses; `MAINS_WORST=60` shows more of the slowest.
"""
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from tests.bench import region
from tests.bench.figures import Figure, Skipped, median

REQUESTS, WARM, WORST = int(os.environ.get("MAINS_REQUESTS", 20)), 2, int(os.environ.get("MAINS_WORST", 25))
MOST_QUERIES, MOST_MS = 12, 100
# Who asks: the owner of 20,000 instances, a viewer of 10,000, an operator of all.
WHO = {"alice": "owner", "vera": "viewer", "root": "operator"}
# Pages as people use them, beside their plain addresses.
VARIANTS = [
    ("dashboard", {"project": "web"}), ("instances:list", {"name": "prod"}), ("instances:list", {"name": "web-prod-00042"}),
    ("instances:list", {"state": "error"}), ("instances:list", {"state": "rebooting"}), ("instances:list", {"ordering": "name"}),
    ("instances:list", {"tag": "env:prod"}), ("instances:list", {"more": "1"}), ("volumes:list", {"name": "data"}),
    ("volumes:list", {"state": "in_use"}), ("floating_ips:list", {"name": "web"}), ("operations:list", {"state": "failed"}),
    ("operations:list", {"state": "running"}), ("billing:usage", {"page": "5"}), ("billing:usage", {"month": "2026-09"}),
    ("search", {"q": "web"}), ("instances:create", {"project": "web"}), ("instance-list", {"state": "error"}),
    ("instance-list", {"name": "prod"}), ("instance-list", {"ordering": "name"}), ("instance-list", {"limit": "500"}),
    ("usage-list", {"group_by": "resource"}), ("volumes:list", {"state": "error"}), ("instances:detail", {"tab": "metrics"}),
    ("instances:detail", {"tab": "timeline"}), ("vpcs:detail", {"tab": "instances"}),
]


@dataclass
class Asked:
    """One address as one person, and what came of it."""

    name: str
    path: str
    query: dict[str, str]
    who: str
    is_api: bool = False
    queries: int = 0
    size: int = 0
    seconds: list[float] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return 1000 * median(self.seconds)

    @property
    def p95(self) -> float:
        return 1000 * p95(self.seconds)

    def alone(self, best: float) -> float:
        """The p95 as if the machine had been free, by what the fixed work took meanwhile."""
        return self.p95 * best / median(self.loops)

    def __str__(self) -> str:
        return self.name + ("?" + "&".join(f"{key}={value}" for key, value in self.query.items()) if self.query else "")


def p95(values: list[float]) -> float:
    return sorted(values)[ceil(0.95 * len(values)) - 1]


def measure() -> list[Figure]:
    from django.test import override_settings

    from portal.serving import settle

    big = region.opened()
    big.use()
    from tests.cast import UNLIMITED

    asked = list(addresses(big.cast))
    settle()  # as portal.asgi does
    with override_settings(API_RATE=UNLIMITED):
        answered = [one for one in asked if _ask(big.cast, one)]
    if not answered:
        raise Skipped("nobody may see any of these addresses")
    loops = sorted(loop for one in answered for loop in one.loops)
    best = loops[len(loops) // 50]  # the very quickest are luck
    print(_table(answered, best))
    print(f"  {len(answered)} addresses × {REQUESTS} requests; a loop of fixed work took {median(loops) / best:.2f} × its best")
    found = []
    for what, rows in (("pages", [one for one in answered if not one.is_api and not one.name.startswith("admin:")]),
                       ("API", [one for one in answered if one.is_api]),
                       ("admin", [one for one in answered if one.name.startswith("admin:")])):
        if rows:
            found += _figures(what, rows, best)
    return found


def _figures(what: str, rows: list[Asked], best: float) -> list[Figure]:
    """Of the API only a ratio is demanded (`lists`). Times are compared with the goal as if the machine had been free."""
    slow, many = max(rows, key=lambda one: one.alone(best)), max(rows, key=lambda one: one.queries)
    over = sum(one.alone(best) > MOST_MS for one in rows)
    is_asked = what != "API"
    return [
        Figure(name=f"pages: slowest of {len(rows)} {what}, p95",
               value=f"{slow.p95:.0f} ms ({slow.alone(best):.0f} ms by the fixed work's best)",
               compared=f"{slow} as {WHO[slow.who]}; {over} above {MOST_MS} ms", goal=f"≤ {MOST_MS} ms" if is_asked else "",
               met=over == 0 if is_asked else None),
        Figure(name=f"pages: most statements of {what}", value=str(many.queries), compared=f"{many} as {WHO[many.who]}",
               goal=f"≤ {MOST_QUERIES}" if is_asked else "", met=many.queries <= MOST_QUERIES if is_asked else None)]


def _table(answered: list[Asked], best: float) -> str:
    lines = [f"{'alone':>7} {'ms p95':>7} {'p50':>6} {'max':>6} {'statements':>10} {'KiB':>6}  address"]
    for one in sorted(answered, key=lambda row: -row.alone(best))[:WORST]:
        lines.append(f"{one.alone(best):7.0f} {one.p95:7.0f} {one.p50:6.0f} {1000 * max(one.seconds):6.0f} {one.queries:10} "
                     f"{one.size / 1024:6.0f}  {one} as {WHO[one.who]}")
    return "\n".join(lines + [f"  more than {MOST_QUERIES} statements: "] + [
        f"    {one.queries} {one} as {WHO[one.who]}" for one in sorted(answered, key=lambda row: -row.queries)
        if one.queries > MOST_QUERIES])


# ---- addresses ----

def addresses(cast: Any) -> Iterator[Asked]:
    """Every GET of the site with the ids of a row of the biggest project, as everybody of WHO."""
    from django.urls import reverse

    from tests.portal.routes import routes
    from tests.portal.sent import model_of

    only = os.environ.get("MAINS_ONLY", "").split()
    shown: list[tuple[str, list[Any], dict[str, str], bool]] = []
    for route in routes():
        if route.method == "GET" and not (only and route.name not in only):
            row = _row(cast, model_of(route)) if route.takes_an_id else None
            if route.takes_an_id and row is None:
                print(f"  the region has no {model_of(route).__name__} to ask {route.name} for", file=sys.stderr)
                continue
            shown.append((route.name, [row.pk] if row else [], {}, route.is_api))
    ids_of = {name: ids for name, ids, _query, _is_api in shown}
    here = {"project": str(cast.project.pk)}
    shown += [(name, ids_of.get(name, []), query | (here if "project" in query else {}), name.endswith("-list"))
              for name, query in VARIANTS if not only or name in only]
    for name, ids, query, is_api in shown:
        for who in WHO if name in ids_of else ():
            yield Asked(name=name, path=reverse(name, args=ids), query=query, who=who, is_api=is_api)
    if not only or "admin" in only:
        yield from _admin(cast)


def _admin(cast: Any) -> Iterator[Asked]:
    from django.contrib import admin
    from django.urls import reverse

    yield Asked(name="admin:index", path=reverse("admin:index"), query={}, who="root")
    for model in admin.site._registry:
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield Asked(name=f"{page}_changelist", path=reverse(f"{page}_changelist"), query={}, who="root")
        row = _row(cast, model)
        if row is not None:
            yield Asked(name=f"{page}_change", path=reverse(f"{page}_change", args=[row.pk]), query={}, who="root")


def _row(cast: Any, model: type) -> Any:
    """One of the biggest project; of instances and what belongs to them, one with a floating IP and a second volume."""
    from compute.instances.models import Instance
    from compute.network.models import Port
    from portal.kernel.models import Operation
    from storage.models import Volume
    from tenants.models import ApiKey, Organization, Project, User

    first = Port.objects.filter(project=cast.project, floating_ip__isnull=False).order_by("pk").first()
    known = {Organization: cast.organization, Project: cast.project, User: cast.vera, Port: first,
             ApiKey: ApiKey.objects.filter(owner=cast.alice).first()}
    if model in known:
        return known[model]
    rows = model._default_manager.order_by("pk")
    if path := {Instance: "pk", Volume: "attachment__domain", Operation: "target_id"}.get(model):
        return rows.filter(**{path: first.domain}).first()
    if any(field.name == "project" for field in model._meta.get_fields()):
        return rows.filter(project=cast.project).first() or rows.first()
    return rows.first()


# ---- asking ----

def _ask(cast: Any, one: Asked) -> bool:
    """Whether the person may see it; then it has been measured."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = cast.api(one.who) if one.is_api else cast.browser(one.who)
    answer = client.get(one.path, one.query)
    if answer.status_code != 200:
        if answer.status_code >= 500:
            print(f"  {answer.status_code}: {one} as {WHO[one.who]}", file=sys.stderr)
        return False
    one.query.pop("project", None)  # it is remembered by now
    for _warm in range(WARM - 1):
        with CaptureQueriesContext(connection) as captured:
            one.size = len(client.get(one.path, one.query).content)
        one.queries = len(captured)
    for _request in range(REQUESTS):
        one.loops.append(_fixed_work())
        connection.close()
        begun = time.perf_counter()
        client.get(one.path, one.query)
        one.seconds.append(time.perf_counter() - begun)
    return True


def _fixed_work() -> float:
    begun = time.perf_counter()
    sum(number * number for number in range(20_000))
    return time.perf_counter() - begun
