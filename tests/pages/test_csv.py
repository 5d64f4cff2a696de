"""CSV of a list: exactly what it shows, to whom it shows it, and nothing that a spreadsheet would run."""
import csv
import io
import warnings
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test import Client

from billing.models import UsageInterval
from portal.kernel.lists import export
from portal.kernel.states import database_now
from tests.bench.databases import copy_resource
from tests.pages.listed import instance
from tests.world import World


def rows(client: Client, path: str = "/instances/", **query: str) -> list[dict[str, str]]:
    """The file's rows by heading."""
    response = client.get(path, query | {"format": "csv"})
    assert response.status_code == 200 and response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith("attachment; filename=") and response["Cache-Control"] == "no-store"
    with warnings.catch_warnings():  # the test's client is not asynchronous, the portal is
        warnings.simplefilter("ignore", Warning)
        text = b"".join(response).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_looks_like_a_formula_is_text(name: str) -> None:
    assert export.cell(name) == f"'{name}"


def test_numbers_dates_and_nothing_stay_what_they_are() -> None:
    assert [export.cell(value) for value in (-1, -1.5, Decimal("-0E-10"), None, "a-b", "")] == [
        "-1", "-1.5", "-0.0000000000", "", "a-b", ""]


def test_the_file_is_the_filtered_list_in_its_order(world: World, browser) -> None:
    first = instance(world, "=cmd|' /C calc'!A0", state="running", tags={"env": "prod"})
    instance(world, 'b "x", y', state="running")
    instance(world, "other")
    found = rows(browser("alice"), state="running", ordering="name")
    assert [row["Name"] for row in found] == ["'=cmd|' /C calc'!A0", 'b "x", y']
    assert found[0]["Id"] == str(first.pk) and found[0]["Tags"] == "env:prod" and found[0]["State"] == "Running"
    assert found[0]["Created"] == first.created_at.isoformat()


def test_everybody_gets_what_they_see(world: World, browser) -> None:
    instance(world, "ours")
    instance(world, "theirs", project=world.rival_project)
    assert [row["Name"] for row in rows(browser("vera"))] == ["ours"]
    assert [row["Name"] for row in rows(browser("mallory"))] == ["theirs"]
    assert len(rows(browser("root"))) == 2
    assert browser("alice").get("/hosts/", {"format": "csv"}).status_code == 404
    assert Client().get("/instances/", {"format": "csv"}).status_code == 302


def test_all_pages_are_in_it_up_to_a_stated_number(world: World, browser, monkeypatch) -> None:
    copy_resource(instance(world, "web"), 69)
    monkeypatch.setattr(export, "BATCH", 20)
    assert len({row["Id"] for row in rows(browser("alice"))}) == 70
    monkeypatch.setattr(export, "MOST_ROWS", 30)
    found = rows(browser("alice"))
    assert len(found) == 31 and found[-1]["Id"] == "Only the first 30 rows. Filter the list to get the rest."


def test_a_months_usage_to_the_last_digit(world: World, browser) -> None:
    one = instance(world, "=web")
    UsageInterval.objects.create(resource=one, project=world.project, region=world.region, meter="instance.running", sku="small",
                                 quantity=1, period=DateTimeTZRange(database_now(), None))
    [row] = rows(browser("alice"), "/usage/")
    assert row["Name"] == "'=web" and row["SKU"] == "small" and row["Price"].startswith("0.36") and float(row["Amount"]) > 0
    assert rows(browser("mallory"), "/usage/") == []


def test_every_list_has_one_in_the_readers_language(world: World, browser) -> None:
    instance(world, "web")
    client = browser("root", "zh-hans")
    for path in ("/instances/", "/volumes/", "/ssh-keys/", "/operations/", "/api-keys/", "/vpcs/", "/security-groups/",
                 "/floating-ips/", "/hosts/", "/operator/operations/"):
        response = client.get(path, {"format": "csv"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Warning)
            heading = b"".join(response).decode().removeprefix("\ufeff").splitlines()[0]
        assert "状态" in heading or "名称" in heading, path
