"""A long trail: verifying finds whatever was done to it, and tenants find what they look for. `make soak` has 1,000,000 rows in
one chain and looks at the clock; `make test` has a few thousand, and looks at what is found."""
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from statistics import median
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.urls import reverse

from portal.kernel import sealing, verifying
from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.states import database_now
from tenants import operations
from tests.audit.rewriting import rewriting
from tests.cast import UNLIMITED, Cast, make_cast
from tests.soak import SOAKING

ROWS = 1_000_000 if SOAKING else 3000
PROJECTS, TARGETS = 19, 5000
"""No multiples of how many acts there are: every project has some of each."""
VERIFIED_S, FOUND_S, TURNS = 60, 1.0, 3
# Without indexes and triggers; the chain is computed over it before it is copied into the trail.
STAGED = """
CREATE TEMP TABLE staged ON COMMIT DROP AS
SELECT gen_random_uuid() AS id, now() - make_interval(secs => 31536000.0 * (1 - n::float / %(rows)s)) AS at,
       %(organization)s::uuid AS organization_id, (%(projects)s::uuid[])[1 + n %% cardinality(%(projects)s)] AS project_id,
       (%(actors)s::uuid[])[1 + (n / 7) %% cardinality(%(actors)s)] AS actor_id,
       NULL::uuid AS on_behalf_of_id, NULL::uuid AS api_key,
       ('198.51.' || (n / 250) %% 100 || '.' || n %% 250)::inet AS address, md5(n::text) AS request_id,
       'POST /instances/<pk>/start/' AS route,
       (ARRAY['instance.start', 'instance.stop', 'volume.update', 'project.change', 'vpc.create'])[1 + n %% 5] AS action,
       NULL::uuid AS resource_id, (ARRAY['instance', 'instance', 'volume', 'project', 'vpc'])[1 + n %% 5] AS target_type,
       md5((n %% %(targets)s)::text)::uuid::text AS target_id, 'web-' || n %% %(targets)s || CASE WHEN n = %(rows)s / 2
       THEN ' zanzibar' ELSE '' END AS target_name, jsonb_build_object('description', 'before ' || n) AS before,
       jsonb_build_object('description', 'after ' || n) AS after, CASE WHEN n %% 50 = 0 THEN 'refused' ELSE 'ok' END AS result,
       NULL::uuid AS operation_id, NULL::bytea AS name_salt, NULL::bytea AS name_hash, n::bigint AS sequence
  FROM generate_series(1, %(rows)s) n
"""
COPIED = """
INSERT INTO kernel_auditevent (id, at, organization_id, project_id, actor_id, on_behalf_of_id, api_key, address, request_id,
       route, action, resource_id, target_type, target_id, target_name, before, after, result, operation_id,
       chain_id, sequence, hash)
SELECT id, at, organization_id, project_id, actor_id, on_behalf_of_id, api_key, address, request_id, route, action, resource_id,
       target_type, target_id, target_name, before, after, result, operation_id, %s, sequence, hash
  FROM staged JOIN hashes USING (sequence)
"""


@dataclass
class Long:
    """The cast with a long trail of Acme's."""

    cast: Cast
    chain: AuditChain


@pytest.fixture(scope="module")
def trail(django_db_setup: None, django_db_blocker: Any) -> Iterator[Long]:
    with django_db_blocker.unblock(), override_settings(DOORBELLS=False, API_RATE=UNLIMITED), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")
        yield make_trail()
        transaction.set_rollback(True)


def make_trail() -> Long:
    cast = make_cast()
    others = [operations.create_project(cast.organization, f"p-{number}", actor=None) for number in range(PROJECTS - 1)]
    projects = [cast.project, *others]
    with rewriting() as cursor:
        cursor.execute("DELETE FROM kernel_auditevent WHERE organization_id = %s", [cast.organization.pk])
    chain = AuditChain.objects.create(organization=cast.organization)
    with rewriting() as cursor:
        cursor.execute(STAGED, {
            "rows": ROWS, "organization": cast.organization.pk, "projects": [one.pk for one in projects], "targets": TARGETS,
            "actors": [cast.people[name].pk for name in ("alice", "adam", "oscar")]})
        last = _hash(cursor)
        cursor.execute(COPIED, [chain.pk])
        cursor.execute("ANALYZE kernel_auditevent")
    sealing._move(chain, sequence=ROWS, hash=last, sealed_at=database_now())
    return Long(cast, AuditChain.objects.get(pk=chain.pk))


def _hash(cursor: Any) -> bytes:
    """The chain's hash of each row in a table beside the staged ones; the last."""
    cursor.execute("CREATE TEMP TABLE hashes (sequence bigint, hash bytea) ON COMMIT DROP")
    last = b""
    for start in range(0, ROWS, 50_000):
        page = "FROM staged WHERE sequence > %s AND sequence <= %s ORDER BY sequence"
        cursor.execute(f"SELECT sequence, {sealing.CANONICAL} {page}", [start, start + 50_000])
        found = cursor.fetchall()
        with cursor.copy("COPY hashes FROM STDIN") as copy:
            for sequence, text in found:
                last = sha256(last + text.encode()).digest()
                copy.write_row((sequence, last))
    return last


def verified(chain: AuditChain) -> tuple[str, int | None]:
    """What verifying finds; the soak's limit holds for every time."""
    begun = time.monotonic()
    [verdict] = verifying.verify(AuditChain.objects.filter(pk=chain.pk))
    took = time.monotonic() - begun
    print(f"\nverifying {ROWS:,} rows took {took:.1f} s, found {verdict.found}")
    assert not SOAKING or took <= VERIFIED_S
    return (str(verdict.found.fault), verdict.found.sequence) if verdict.found else ("", None)


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_it_is_whole(trail: Long) -> None:
    assert trail.chain.events.count() == ROWS and verified(trail.chain) == ("", None)


EDITS = {
    "edited": ("UPDATE kernel_auditevent SET after = '{\"description\": \"after 1 \"}'", "changed"),
    "whitewashed": ("UPDATE kernel_auditevent SET result = 'ok'", "changed"),
    "deleted": ("DELETE FROM kernel_auditevent", "missing")}
PLACES = {"near the first": 50, "in the middle": ROWS // 100 * 50, "last": ROWS}
"""All of them refused attempts, so that there is something to whitewash."""


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("place", PLACES)
def test_one_row_that_is_rewritten_by_hand_is_found(trail: Long, edit: str, place: str) -> None:
    (sql, fault), sequence = EDITS[edit], PLACES[place]
    with transaction.atomic():
        with rewriting() as cursor:
            cursor.execute(f"{sql} WHERE chain_id = %s AND sequence = %s", [trail.chain.pk, sequence])
            assert cursor.rowcount == 1
        told = verified(trail.chain)
        transaction.set_rollback(True)
    # Without the newest row there is none after it that would not fit: what is missing is the head's own.
    assert told == (fault, sequence)


Find = Callable[[Long], dict[str, str]]
FINDS: dict[str, Find] = {
    "nothing": lambda trail: {}, "action": lambda trail: {"action": "vpc.create"}, "refused": lambda trail: {"result": "refused"},
    "person": lambda trail: {"actor": str(trail.cast.oscar.pk)}, "address": lambda trail: {"address": "198.51.3.7"},
    "kind": lambda trail: {"kind": "volume"}, "target": lambda trail: {"target": AuditEvent.objects.filter(
        chain=trail.chain).values_list("target_id", flat=True).first()},
    "a rare word": lambda trail: {"search": "zanzibar"}, "a common word": lambda trail: {"search": "web"},
    "the beginning of a word": lambda trail: {"search": "we"}, "no word of it": lambda trail: {"search": "nowhere-at-all"},
    "action and person": lambda trail: {"action": "instance.stop", "actor": str(trail.cast.adam.pk)},
    "refused and a word": lambda trail: {"result": "refused", "search": "web-1"},
    "kind, and a word that others have": lambda trail: {"kind": "vpc", "search": "web-1"},
}


@pytest.mark.parametrize("find", FINDS)
@pytest.mark.parametrize("who", ["alice", "vera"])
def test_tenants_find_what_they_look_for(trail: Long, who: str, find: str) -> None:
    """alice sees the whole organization, vera one of its projects."""
    query, browser, api = FINDS[find](trail), trail.cast.browser(who), trail.cast.api(who)
    times = [], []
    for _turn in range(TURNS if SOAKING else 1):
        begun = time.monotonic()
        page = browser.get(reverse("audit:list"), query)
        times[0].append(time.monotonic() - begun)
        begun = time.monotonic()
        rows = api.get(reverse("audit-list"), query)
        times[1].append(time.monotonic() - begun)
    assert page.status_code == rows.status_code == 200
    found = rows.json()["results"]
    assert all(_fits(row, query) for row in found)
    assert bool(found) == (find != "no word of it") or (who == "vera" and find in ("address", "target", "a rare word"))
    print(f"\n{who} looks for {find}: page {median(times[0]):.2f} s, API {median(times[1]):.2f} s, {len(found)} rows")
    assert not SOAKING or max(median(one) for one in times) <= FOUND_S


def _fits(row: dict[str, Any], query: dict[str, str]) -> bool:
    text = f"{row['action']} {row['target_name']}".lower()
    return query.get("search", "") in text and all(
        str(row[field]) == query[name] for name, field in (("action", "action"), ("result", "result"), ("kind", "target_type"))
        if name in query)


def test_a_time_long_ago_is_found_as_quickly(trail: Long) -> None:
    api = trail.cast.api("alice")
    middle = AuditEvent.objects.get(chain=trail.chain, sequence=ROWS // 2).at.isoformat()
    begun = time.monotonic()
    found = api.get(reverse("audit-list"), {"until": middle, "limit": 50})
    took = time.monotonic() - begun
    assert len(found.json()["results"]) == 50 and all(row["at"] <= middle for row in found.json()["results"])
    after = api.get(found.json()["next"])
    assert len(after.json()["results"]) == 50
    assert not SOAKING or took <= FOUND_S
