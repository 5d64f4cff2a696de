"""Closing a month by REST, as by the page in admin: what it would bill first, and then the invoices, each once."""
from datetime import timedelta
from typing import Any

import pytest

from billing.models import ClosingFailure, Invoice, Issuer
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tests.billing.lamps import Shop
from tests.billing.unclosed import out_of_paper, used_october

URL, OCTOBER = "/api/v1/revenue/closing/", {"month": "2026-10"}


@pytest.fixture
def used(shop: Shop) -> Shop:
    return used_october(shop)


def post(shop: Shop, body: dict[str, Any], *, who: str = "root", status: int = 200, **headers: str) -> Any:
    response = shop.cast.api(who).post(URL, body, format="json", **headers)
    assert response.status_code == status, response.content
    return response.json()


def open_ones(shop: Shop, **query: str) -> list[tuple[str, str]]:
    found = shop.cast.api("root").get(URL, OCTOBER | query).json()
    assert found["month"] == "2026-10" and found["is_over"]
    return [(row["name"], row["amounts"][0]["amount"]) for row in found["results"]]


def test_what_it_would_bill_and_then_the_invoices(used: Shop) -> None:
    assert open_ones(used) == [("Acme", "1800.00"), ("Rival", "3.60")] and not Invoice.objects.exists()
    closed = post(used, OCTOBER)
    assert sorted(one["total"]["amount"] for one in closed["invoices"]) == ["1800.00", "3.60"]
    assert {one["number"] for one in closed["invoices"]} == set(Invoice.objects.values_list("number", flat=True))
    assert (closed["month"], closed["left"], closed["failed"]) == ("2026-10", 0, [])
    assert set(AuditEvent.objects.filter(action="invoice.issue").values_list("actor__username", flat=True)) == {"root"}
    assert not open_ones(used) and post(used, OCTOBER)["invoices"] == [] and Invoice.objects.count() == 2


def test_one_organization_alone(used: Shop) -> None:
    rival = str(used.cast.rival_organization.pk)
    assert open_ones(used, organization=rival) == [("Rival", "3.60")]
    assert [one["organization"] for one in post(used, OCTOBER | {"organization": rival})["invoices"]] == [rival]
    assert [name for name, _amount in open_ones(used)] == ["Acme"]


def test_one_that_fails_is_named_and_keeps_nobody_back(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_paper(monkeypatch, used.cast.organization)
    closed = post(used, OCTOBER)
    assert [one["name"] for one in closed["failed"]] == ["Acme"] and len(closed["invoices"]) == 1
    assert ClosingFailure.objects.get().organization == used.cast.organization
    [row] = used.cast.api("root").get(URL, OCTOBER).json()["results"]
    assert "out of paper" in row["error"]


def test_what_takes_too_long_is_left_to_the_next_request(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.report_api.CLOSES_FOR_S", -1)
    assert [post(used, OCTOBER)["left"] for _time in range(2)] == [1, 0] and Invoice.objects.count() == 2


def test_the_same_request_again_answers_the_same(used: Shop) -> None:
    first, again = (post(used, OCTOBER, HTTP_IDEMPOTENCY_KEY="october") for _time in range(2))
    assert first == again and len(first["invoices"]) == Invoice.objects.count() == 2


@pytest.mark.parametrize("body", [{}, {"month": ""}, {"month": "2026"}, {"month": 202610}, {"month": "2026-13"},
                                  {"month": "this"}, OCTOBER | {"organization": "x"}, OCTOBER | {"until": "now"},
                                  {"month": None}])
def test_nonsense_is_refused(used: Shop, body: dict[str, Any]) -> None:
    if body.get("month") == "this":  # it is not over
        body = {"month": f"{database_now() + timedelta(days=31):%Y-%m}"}
    post(used, body, status=400)
    assert not Invoice.objects.exists()


def test_nobody_bills_until_an_issuer_is_entered(used: Shop) -> None:
    Issuer.objects.all().delete()
    assert "no issuer" in str(post(used, OCTOBER, status=400)) and not Invoice.objects.exists()


def test_operators_alone(used: Shop) -> None:
    for who in ("alice", "vera"):
        assert used.cast.api(who).get(URL, OCTOBER).status_code == 404
        post(used, OCTOBER, who=who, status=404)
    assert not Invoice.objects.exists()
