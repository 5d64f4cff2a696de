"""`usage/` and `prices/` as the published contract says."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import operations
from portal.kernel.declarations import registry
from portal.kernel.states import database_now
from tenants import operations as tenants
from tests.billing.lamps import BIG, SMALL, Shop
from tests.cast import nobody_has

TEN = datetime(2026, 2, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
USAGE = "/api/v1/usage/"


def rows(client, query: str = "") -> list[dict]:
    response = client.get(f"{USAGE}{query}")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def amounts(found: list[dict], *keys: str) -> list[tuple]:
    return [(*(row[key] for key in keys), row["amount"]["amount"]) for row in found]


def test_one_row_per_interval(shop: Shop) -> None:
    lamp = shop.lamp("hall")
    interval = shop.burnt(lamp, TEN, TEN + HOUR)
    assert rows(shop.cast.api("vera")) == [{
        "id": str(interval.pk), "resource": {"type": "lamp", "id": str(lamp.pk), "name": "hall"},
        "project": str(shop.cast.project.pk), "meter": "lamp", "sku": "small", "unit": "second", "quantity": "3600",
        "start": "2026-02-03T10:00:00Z", "end": "2026-02-03T11:00:00Z",
        "amount": {"amount": "0.36", "currency": "CNY"}}]


def test_what_runs_has_no_end_and_costs_until_now(shop: Shop) -> None:
    now = database_now()
    shop.burnt(shop.lamp(), now - HOUR, None)
    (row,) = rows(shop.cast.api("vera"))
    assert row["end"] is None
    assert Decimal("0.36") <= Decimal(row["amount"]["amount"]) < Decimal("0.37")


def test_an_interval_over_a_price_change_is_still_one_row(shop: Shop) -> None:
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.72"),
                         actor=shop.cast.root, valid_from=TEN, now=TEN)
    shop.burnt(shop.lamp(), TEN - HOUR, TEN + HOUR)
    assert amounts(rows(shop.cast.api("vera")), "start", "quantity") == [("2026-02-03T09:00:00Z", "7200", "1.08")]


def test_start_and_end_cut(shop: Shop) -> None:
    shop.burnt(shop.lamp(), TEN - HOUR, TEN + HOUR)
    client = shop.cast.api("vera")
    (row,) = rows(client, "?start=2026-02-03T10:00:00Z&end=2026-02-03T10:30:00%2B00:00")
    assert (row["start"], row["end"], row["quantity"]) == ("2026-02-03T10:00:00Z", "2026-02-03T10:30:00Z", "1800")
    assert rows(client, "?start=2026-02-04T00:00:00Z") == rows(client, "?start=2099-01-01T00:00:00Z") == []
    assert rows(client, "?end=2026-02-03T09:00:00Z") == []


def test_rows_are_filtered_by_resource_meter_and_project(shop: Shop) -> None:
    one, other = shop.lamp("one"), shop.lamp("other")
    shop.burnt(one, TEN, TEN + HOUR)
    shop.burnt(other, TEN, TEN + HOUR, reading=BIG)
    client = shop.cast.api("vera")
    for query in ("", "&group_by=resource"):
        assert [row["resource"]["name"] for row in rows(client, f"?resource={one.pk}{query}")] == ["one"]
        assert len(rows(client, f"?meter=lamp&project={shop.cast.project.pk}{query}")) == 2
        assert [row["resource"]["name"] for row in rows(client, f"?sku=big{query}")] == ["other"]
        assert rows(client, f"?meter=unheard.of{query}") == rows(client, f"?resource={nobody_has()}{query}") == []


@pytest.mark.parametrize("query", ["", "&group_by=project", "&group_by=resource,day"])
def test_another_organizations_usage_is_not_there(shop: Shop, query: str) -> None:
    lamp = shop.lamp()
    shop.burnt(lamp, TEN, TEN + HOUR)
    mallory = shop.cast.api("mallory")
    for narrow in (f"project={shop.cast.project.pk}", f"resource={lamp.pk}", "meter=lamp"):
        assert rows(mallory, f"?{narrow}{query}") == []
    assert len(rows(shop.cast.api("root"), f"?meter=lamp{query}")) == 1


def test_sums_by_day_meter_resource_project_and_tag(shop: Shop) -> None:
    shop.burnt(shop.lamp("red", tags={"room": "attic"}), TEN + 13 * HOUR, TEN + 15 * HOUR)
    shop.burnt(shop.lamp("blue"), TEN, TEN + HOUR, reading=BIG)
    client = shop.cast.api("vera")
    assert amounts(rows(client, "?group_by=day"), "day") == [("2026-02-03", "3.96"), ("2026-02-04", "0.36")]
    assert amounts(rows(client, "?group_by=meter,project"), "meter", "project", "unit", "quantity") == [
        ("lamp", str(shop.cast.project.pk), "second", "10800", "4.32")]
    assert amounts(rows(client, "?group_by=tag:room"), "tags", "unit") == [
        ({"room": "attic"}, None, "0.72"), ({"room": None}, None, "3.60")]
    by_name = {row["resource"]["name"]: row["amount"]["amount"] for row in rows(client, "?group_by=resource")}
    assert by_name == {"red": "0.72", "blue": "3.60"}


@pytest.mark.parametrize("query", ["?limit=2", "?limit=2&group_by=resource"])
def test_pages_hold_every_row_once(shop: Shop, query: str) -> None:
    for number in range(5):
        shop.burnt(shop.lamp(f"lamp {number}"), TEN, TEN + HOUR)
    client, url, found = shop.cast.api("vera"), f"{USAGE}{query}", []
    while url:
        page = client.get(url).json()
        found += [row["resource"]["name"] for row in page["results"]]
        url, last = page["next"], page
    assert sorted(found) == [f"lamp {number}" for number in range(5)]
    assert len(client.get(last["previous"]).json()["results"]) == 2


@pytest.mark.parametrize("query", ["", "&group_by=resource"])
def test_a_list_takes_the_same_number_of_queries_for_1_and_200_rows(shop: Shop, query: str) -> None:
    client = shop.cast.api("vera")

    def queries(wanted: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert len(rows(client, f"?limit=500{query}")) == wanted
        return len(seen)

    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    queries(1)  # the session is known from here on
    for_one = queries(1)
    for _number in range(199):
        shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    assert queries(200) == for_one


@pytest.mark.parametrize(("field", "query"), [
    ("start", "start=yesterday"), ("start", "start=2026-02-03"), ("start", "start=2026-02-03T10:00:00"),
    ("end", "end=2026-13-03T10:00:00Z"), ("start", "start=0001-01-01T00:00:00%2B23:00"), ("end", "end="),
    ("group_by", "group_by="), ("group_by", "group_by=owner"), ("group_by", "group_by=day,"),
    ("group_by", "group_by=tag:"), ("group_by", "group_by=price"), ("group_by", "group_by=tag:" + "x" * 61),
    ("group_by", "group_by=" + ",".join(f"tag:{number}" for number in range(9))),
    ("resource", "resource=x"), ("project", "project=1"), ("resource", "resource=x&group_by=day"),
    ("cursor", "cursor=x"), ("cursor", "group_by=day&cursor=-1"), ("limit", "limit=501"), ("ordering", "ordering=id"),
    ("nonsense", "nonsense=1"),
    ("cursor", "cursor=WyItc3RhcnQiLCBmYWxzZSwgIm5vIHRpbWUiLCAiNWY0YjE4MjgtMzM5ZC00YzJiLTlmMGEtMGUyYzVkZmQ3NzQ2Il0"),
])
def test_nonsense_is_refused_by_name(shop: Shop, field: str, query: str) -> None:
    response = shop.cast.api("vera").get(f"{USAGE}?{query}")
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")
    assert list(response.json()["errors"]) == [field]


def test_from_the_first_month_that_there_is(shop: Shop) -> None:
    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    response = shop.cast.api("vera").get(f"{USAGE}?start=0001-01-10T00:00:00Z")
    assert (response.status_code, len(response.json()["results"])) == (200, 1)


def test_a_tag_with_quotes_is_only_a_name(shop: Shop) -> None:
    shop.burnt(shop.lamp(tags={"a'b": "x"}), TEN, TEN + HOUR)
    assert amounts(rows(shop.cast.api("vera"), "?group_by=tag:a'b"), "tags") == [({"a'b": "x"}, "0.36")]


def test_nobody_sees_nothing(shop: Shop) -> None:
    assert shop.cast.api(None).get(USAGE).status_code == 401
    assert shop.cast.api(None).get("/api/v1/prices/").status_code == 401


@pytest.mark.parametrize("name", ["alice", "adam", "oscar", "vera"])
def test_all_four_roles_may_see_usage(shop: Shop, name: str) -> None:
    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    assert len(rows(shop.cast.api(name))) == 1


def test_a_key_without_the_scope_sees_no_usage(shop: Shop) -> None:
    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    assert rows(shop.cast.key("alice", scopes=["project.view"])) == []
    assert len(rows(shop.cast.key("alice", scopes=["usage.view"]))) == 1


def test_the_list_prices_that_hold_now(shop: Shop) -> None:
    now = database_now()
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("9"),
                         actor=shop.cast.root, valid_from=now + HOUR, now=now)
    found = shop.cast.api("mallory").get("/api/v1/prices/?meter=lamp").json()["results"]
    assert [(row["sku"], row["price_per_hour"]["amount"]) for row in found] == [("big", "3.60"), ("small", "0.36")]
    assert (found[1]["unit"], found[1]["region"]) == ("hour", str(shop.cast.region.pk))
    assert found[1]["valid_until"] is not None and found[0]["valid_until"] is None
    later = f"/api/v1/prices/?sku=small&at={(now + 2 * HOUR).isoformat().replace('+', '%2B')}"
    (planned,) = shop.cast.api("mallory").get(later).json()["results"]
    assert planned["price_per_hour"] == {"amount": "9.00", "currency": "CNY"}
    assert shop.cast.api("vera").get(f"/api/v1/prices/{planned['id']}/").json() == planned


def test_the_lamp_is_the_proof_that_a_meter_is_one_declaration(shop: Shop) -> None:
    """Nothing in the repository knows lamps; declared once, they are metered, priced, rated, listed and shown."""
    assert registry.meters[SMALL.meter].label == "Lamp"
    lamp = shop.lamp("planted")
    lamp.turn("small", TEN)
    lamp.turn("out", TEN + HOUR)
    found = rows(shop.cast.api("vera"), f"?resource={lamp.pk}")
    assert amounts(found, "unit", "quantity") == [("second", "3600", "0.36")]
    assert b"planted" in shop.cast.browser("vera").get("/usage/?month=2026-02").content


def test_a_projects_usage_with_all_below_it_is_one_sum_or_one_for_each(shop: Shop) -> None:
    cast = shop.cast
    below = tenants.create_project(cast.organization, "below", actor=None, parent=cast.project)
    beside = tenants.create_project(cast.organization, "beside", actor=None)
    for project, hours in ((cast.project, 1), (below, 2), (beside, 4)):
        shop.burnt(shop.lamp(project=project), TEN, TEN + hours * HOUR)
    period = "start=2026-02-01T00:00:00Z&end=2026-03-01T00:00:00Z"
    tree = f"?below={cast.project.pk}&{period}"
    for who in ("alice", "vera", "root"):
        api = cast.api(who)
        [total] = rows(api, tree)
        assert (total["project"], total["quantity"], total["amount"]["amount"]) == (str(cast.project.pk), "10800", "1.08")
        assert rows(api, f"{tree}&group_by=tree") == [total]
        each = rows(api, f"{tree}&group_by=project")
        assert amounts(each, "project") == [(str(below.pk), "0.72"), (str(cast.project.pk), "0.36")]
    [leaf] = rows(cast.api("vera"), f"?below={below.pk}&{period}")
    assert leaf["amount"]["amount"] == "0.72"


def test_nobody_sums_what_they_do_not_see(shop: Shop) -> None:
    cast = shop.cast
    below = tenants.create_project(cast.organization, "below", actor=None, parent=cast.project)
    for project in (cast.project, below):
        shop.burnt(shop.lamp(project=project), TEN, TEN + HOUR)
    assert rows(cast.api("mallory"), f"?below={cast.project.pk}") == rows(cast.api("mallory"), f"?below={nobody_has()}") == []
    key = cast.key("alice", project=cast.project)
    [alone] = rows(key, f"?below={cast.project.pk}&start=2026-02-01T00:00:00Z")
    assert alone["amount"]["amount"] == "0.36", "a key of one project sees nothing below it"
    assert rows(cast.key("alice", scopes=["instance.view"]), f"?below={cast.project.pk}") == []


@pytest.mark.parametrize("query", ["below=x", "below=", "below={own}&group_by=meter", "below={own}&meter=lamp", "group_by=tree",
                                   "below={own}&start=soon", "below={own}&project={own}"])
def test_what_cannot_be_summed_is_refused(shop: Shop, query: str) -> None:
    answer = shop.cast.api("alice").get(f"{USAGE}?{query.format(own=shop.cast.project.pk)}")
    assert answer.status_code == 400
