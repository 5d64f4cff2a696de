"""The trail's readers: the list with its filters, one row, files, REST; nothing of projects or organizations that are others'."""
import csv
import io
import json
import warnings
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.kernel import audit, requests, sealing, verifying
from portal.kernel.models import AuditChain, AuditEvent
from tenants import operations, structure
from tests.audit.rewriting import rewriting
from tests.cast import Cast

LIST = "/audit/"
API = "/api/v1/audit/"


@pytest.fixture
def trail(cast: Cast) -> dict[str, AuditEvent]:
    """One of each: of Acme's project, of Acme as a whole, of the rival, of the site, a refused attempt, and from elsewhere."""
    made = {
        "ours": audit.record("vpc.create", cast.project, actor=cast.alice, after={"name": "lan", "cidr": "10.0.0.0/16"}),
        "whole": audit.record("organization.change", cast.organization, actor=cast.alice, before={"name": "A"},
                              after={"name": "Acme"}),
        "theirs": audit.record("vpc.create", cast.rival_project, actor=cast.mallory),
        "site": audit.record("portal.drain", None, actor=cast.root),
    }
    audit.refuse("vpc.delete", cast.project, actor=cast.vera, reason="forbidden")
    made["refused"] = AuditEvent.objects.get(result="refused")
    requests.bind(requests.RequestContext(id="request-0001", address="203.0.113.7", route="POST /vpcs/create/"))
    made["elsewhere"] = audit.record("console.open", cast.project, actor=cast.oscar)
    requests.bind(requests.OUTSIDE)
    with rewriting():
        AuditEvent.objects.filter(pk=made["elsewhere"].pk).update(at="2026-03-04T12:00:00Z")
    return made


def shown(client: Client, trail: dict[str, AuditEvent], **query: Any) -> set[str]:
    text = client.get(LIST, {"rows": "100"} | query).content.decode()
    return {name for name, event in trail.items() if str(event.pk) in text}


def answered(cast: Cast, trail: dict[str, AuditEvent], who: str, **query: Any) -> set[str]:
    response = cast.api(who).get(API, query)
    assert response.status_code == 200, response.content
    ids = {row["id"] for row in response.json()["results"]}
    return {name for name, event in trail.items() if str(event.pk) in ids}


OURS = {"ours", "refused", "elsewhere"}
SEEN = {"alice": OURS | {"whole"}, "adam": OURS, "oscar": OURS, "vera": OURS, "mallory": {"theirs"},
        "root": OURS | {"whole", "theirs", "site"}}


@pytest.mark.parametrize("who", SEEN)
def test_everybody_sees_what_is_theirs_on_the_page_and_by_rest(cast: Cast, trail: dict[str, AuditEvent], who: str) -> None:
    browser, client = cast.browser(who), cast.api(who)
    assert shown(browser, trail) == SEEN[who] == answered(cast, trail, who)
    for name, event in trail.items():
        wanted = 200 if name in SEEN[who] else 404
        assert browser.get(reverse("audit:detail", args=[event.pk])).status_code == wanted, name
        assert client.get(f"{API}{event.pk}/").status_code == wanted, name


def test_a_deleted_projects_rows_stay_with_whoever_sees_the_whole_organization(cast: Cast, trail: dict[str, AuditEvent]) -> None:
    structure.delete_project(cast.project, actor=cast.alice)
    assert answered(cast, trail, "alice") == SEEN["alice"] == shown(cast.browser("alice"), trail)
    assert answered(cast, trail, "adam") == answered(cast, trail, "vera") == set()
    assert answered(cast, trail, "mallory") == {"theirs"}


def test_a_key_of_one_project_sees_nothing_of_the_organization(cast: Cast, trail: dict[str, AuditEvent]) -> None:
    client = cast.key("alice", project=cast.project)
    ids = {row["id"] for row in client.get(API).json()["results"]}
    assert str(trail["ours"].pk) in ids and str(trail["whole"].pk) not in ids


FILTERS = [
    ({"search": "VPC."}, {"ours", "refused"}), ({"search": "acme"}, {"whole"}), ({"search": "100%_"}, set()),
    ({"search": "VP"}, {"ours", "refused"}), ({"search": "c."}, set()), ({"search": "%"}, set()),
    ({"action": "vpc.create"}, {"ours"}), ({"result": "refused"}, {"refused"}),
    ({"result": "ok"}, {"ours", "whole", "elsewhere"}),
    ({"kind": "organization"}, {"whole"}), ({"address": "203.0.113.7"}, {"elsewhere"}), ({"address": "203.0.113.8"}, set()),
]


@pytest.mark.parametrize(("query", "found"), FILTERS, ids=lambda one: str(sorted(one) if isinstance(one, set) else one))
def test_filters_find_the_same_on_the_page_and_by_rest(cast: Cast, trail: dict[str, AuditEvent], query: dict[str, str],
                                                       found: set[str]) -> None:
    assert shown(cast.browser("alice"), trail, **query) == found == answered(cast, trail, "alice", **query)


def test_filters_by_person_target_and_time(cast: Cast, trail: dict[str, AuditEvent]) -> None:
    browser = cast.browser("alice")
    assert shown(browser, trail, actor=cast.vera.pk) == {"refused"} == answered(cast, trail, "alice", actor=cast.vera.pk)
    target = {"target": cast.organization.pk}
    assert shown(browser, trail, **target) == {"whole"} == answered(cast, trail, "alice", **target)
    for since, until, found in (("2026-03-04", "2026-03-04", {"elsewhere"}), ("2026-03-05", "2026-03-06", set()),
                                ("2026-03-01", "2026-03-03", set())):
        assert shown(browser, trail, since=since, until=until) == found
    exactly = {"since": "2026-03-04T12:00:00Z", "until": "2026-03-04T12:00:01Z"}
    assert answered(cast, trail, "alice", **exactly) == {"elsewhere"}
    assert answered(cast, trail, "alice", **(exactly | {"until": exactly["since"]})) == set()


@pytest.mark.parametrize("nonsense", [{"since": "soon"}, {"until": "9999-12-31"}, {"address": "x"}, {"actor": "x"}, {"kind": "x"},
                                      {"action": "' OR 1=1"}, {"since": "0001-01-01"}], ids=str)
def test_nonsense_filters_nothing_on_the_page(cast: Cast, trail: dict[str, AuditEvent], nonsense: dict[str, str]) -> None:
    assert shown(cast.browser("alice"), trail, **nonsense) == SEEN["alice"]


@pytest.mark.parametrize("nonsense", [{"since": "soon"}, {"until": "2026-03-04T12:00:00"}, {"address": "x"}, {"actor": "x"}],
                         ids=str)
def test_nonsense_is_refused_by_rest(cast: Cast, nonsense: dict[str, str]) -> None:
    response = cast.api("alice").get(API, nonsense)
    assert response.status_code == 400 and next(iter(nonsense)) in response.json()["errors"]


def test_one_row_tells_all_that_was_written(cast: Cast, trail: dict[str, AuditEvent]) -> None:
    sealing.seal()
    list(verifying.verify(AuditChain.objects.all()))
    browser = cast.browser("alice")
    text = browser.get(reverse("audit:detail", args=[trail["whole"].pk])).content.decode()
    event = AuditEvent.objects.get(pk=trail["whole"].pk)
    assert event.hash_text in text and f"{event.sequence}" in text and "organization.change" in text
    text = browser.get(reverse("audit:detail", args=[trail["elsewhere"].pk])).content.decode()
    assert "203.0.113.7" in text and "POST /vpcs/create/" in text and "request-0001" in text and "oscar" in text


def test_the_page_says_how_far_the_chain_is_sealed_and_whether_it_is_whole(cast: Cast, chain: AuditChain) -> None:
    browser = cast.browser("alice")
    assert "not verified yet" in browser.get(LIST).content.decode()
    list(verifying.verify(AuditChain.objects.all()))
    text = browser.get(LIST).content.decode()
    assert f"up to number {chain.sequence}" in text and "whole" in text and "Rival" not in text
    with rewriting() as cursor:
        cursor.execute("UPDATE kernel_auditevent SET action = 'x' WHERE chain_id = %s AND sequence = 9", [chain.pk])
    list(verifying.verify(AuditChain.objects.all()))
    text = browser.get(LIST).content.decode()
    assert "A row was changed" in text and "first at number 9" in text
    assert "up to number" not in cast.browser("vera").get(LIST).content.decode(), "a part of it is all that she sees"


def _file(client: Client, **query: str) -> str:
    response = client.get(LIST, query)
    assert response.status_code == 200 and "attachment" in response["Content-Disposition"]
    with warnings.catch_warnings():  # the test's client is not asynchronous, the portal is
        warnings.simplefilter("ignore", Warning)
        return b"".join(response).decode()


def test_files_have_the_rows_of_the_list_and_no_others(cast: Cast) -> None:
    audit.record("vpc.create", cast.project, actor=cast.alice,
                 after={"name": "=1+1", "password": "hidden", "deep": [{"token": "hidden"}]})
    audit.record("vpc.create", cast.rival_project, actor=cast.mallory)
    sealing.seal()
    browser = cast.browser("alice")
    seen = [str(pk) for pk in AuditEvent.objects.visible_to(cast.alice).order_by("-at", "-pk").values_list("pk", flat=True)]
    objects = [json.loads(line) for line in _file(browser, format="jsonl").splitlines()]
    assert [one["id"] for one in objects] == seen and objects == cast.api("alice").get(API).json()["results"]
    assert objects[0]["hash"] and objects[0]["sequence"]
    rows = list(csv.reader(io.StringIO(_file(browser, format="csv").removeprefix("\ufeff"))))
    assert [row[0] for row in rows[1:]] == seen
    assert [one["action"] for one in map(json.loads, _file(browser, format="jsonl", search="vpc").splitlines())] == ["vpc.create"]
    assert "hidden" not in str(objects) + str(rows)


def test_whose_request_it_was_is_written(cast: Cast) -> None:
    response = cast.api("alice").patch(f"/api/v1/projects/{cast.project.pk}/", {"description": "new"}, format="json")
    assert response.status_code == 200
    event = AuditEvent.objects.filter(action="project.change").latest("at")
    assert event.route == "PATCH /api/v1/projects/<pk>/" and event.request_id == response["X-Request-ID"]
    requests.bind(requests.RequestContext(on_behalf_of=cast.vera.pk, operator=cast.root.pk))
    operations.change_project(cast.project, actor=cast.vera, name="web", description="other")
    requests.bind(requests.OUTSIDE)
    event = AuditEvent.objects.latest("at")
    assert (event.actor, event.on_behalf_of) == (cast.root, cast.vera)


SECRETS = {"password": "hidden", "Private_Key": "hidden", "pairs": (("kept", {"client_secret": ["hidden"]}),),
           "secret": "", "at": timedelta(1),
           "deep": {"list": [{"api_token": "hidden", "name": "kept"}], "user_data": "hidden"}}


def test_secrets_are_masked_however_deep_they_are(cast: Cast) -> None:
    event = audit.record("any", cast.project, actor=cast.alice, before=SECRETS, after=SECRETS)
    event.refresh_from_db()
    assert "hidden" not in str(event.before) + str(event.after)
    assert event.after["deep"] == {"list": [{"api_token": "***", "name": "kept"}], "user_data": "***"}
    assert event.after["pairs"] == [["kept", {"client_secret": "***"}]] and event.after["secret"] == ""
