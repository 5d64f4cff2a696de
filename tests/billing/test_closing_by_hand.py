"""An operator closes a month by a press of a button: what it would bill is shown first, and nothing is closed before that is
confirmed."""
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from billing import closing
from billing.models import Charge, ClosingFailure, Invoice, Issuer
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tests.billing.lamps import Shop
from tests.billing.months import HOUR, OCTOBER, SECOND_OF_NOVEMBER, october
from tests.billing.unclosed import out_of_paper, used_october

PAGE, MONTH = "/admin/billing/invoice/closing/", "?month=2026-10"


@pytest.fixture
def used(shop: Shop) -> Shop:
    """October, with half a yuan that Acme is owed."""
    used_october(shop)
    closing.adjust(shop.cast.organization, Decimal("-0.50"), "Sorry", None, now=october(20))
    return shop


def post(shop: Shop, query: str = MONTH, **sent: str) -> Any:
    return shop.cast.browser("root").post(f"{PAGE}{query}", sent, follow=True)


def said(response: Any) -> str:
    return " | ".join(map(str, response.context["messages"]))


def issued() -> list[tuple[str, Decimal]]:
    return [(one.organization.name, one.total) for one in Invoice.objects.order_by("number").select_related("organization")]


def test_what_it_would_bill_is_shown_and_nothing_is_closed(used: Shop) -> None:
    page = used.cast.browser("root").get(f"{PAGE}{MONTH}")
    text = page.content.decode()
    assert [(row.name, [str(one) for one in row.money]) for row in page.context["found"].rows] == [
        ("Acme", ["1799.50 CNY"]), ("Rival", ["3.60 CNY"])]
    assert "1,799.50 CNY" in text and "<p>1,803.10 CNY</p>" in text and "the invoices of 2 organizations" in text
    assert "Nothing was closed" in said(post(used))
    assert not Invoice.objects.exists()


def test_confirmed_every_organization_is_closed_once_by_whoever_pressed(used: Shop) -> None:
    told = said(post(used, confirmed="yes"))
    assert "2026-10: 2 invoices were issued, over 1,803.10 CNY." in told
    assert sorted(issued()) == [("Acme", Decimal("1799.50")), ("Rival", Decimal("3.60"))]
    assert set(AuditEvent.objects.filter(action="invoice.issue").values_list("actor__username", flat=True)) == {"root"}
    again = post(used, confirmed="yes")
    assert "no invoice was issued" in said(again) and "Nobody: all that was used is invoiced." in again.content.decode()
    assert len(issued()) == 2


def test_one_organization_alone(used: Shop) -> None:
    query = f"{MONTH}&organization={used.cast.rival_organization.pk}"
    page = used.cast.browser("root").get(f"{PAGE}{query}").content.decode()
    assert "the invoice of 1 organization" in page and "1,799.50" not in page
    assert "over 3.60 CNY" in said(post(used, query, confirmed="yes"))
    assert issued() == [("Rival", Decimal("3.60"))]


def test_one_that_fails_keeps_the_other_back_from_nothing_and_is_named(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_paper(monkeypatch, used.cast.organization)
    answer = post(used, confirmed="yes")
    assert "1 invoices were issued, over 3.60 CNY." in said(answer) and "Not closed, see the errors below: Acme" in said(answer)
    assert "out of paper" in answer.content.decode() and ClosingFailure.objects.get().organization == used.cast.organization
    assert issued() == [("Rival", Decimal("3.60"))]
    monkeypatch.undo()
    post(used, confirmed="yes")
    assert len(issued()) == 2 and not ClosingFailure.objects.exists()


def test_what_takes_too_long_is_left_to_the_next_press(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.report_admin.CLOSES_FOR_S", -1)
    assert "1 are left: close them next." in said(post(used, confirmed="yes")) and len(issued()) == 1
    assert "are left" not in said(post(used, confirmed="yes")) and len(issued()) == 2


@pytest.mark.parametrize(("month", "text"), [("this", "This month is not over."), ("2026", "A month like 2026-11.")])
def test_a_month_that_is_not_over_or_none_is_refused(used: Shop, month: str, text: str) -> None:
    now = database_now()
    used.burnt(used.lamp("now"), now - HOUR, None)
    query = f"?month={now:%Y-%m}" if month == "this" else f"?month={month}"
    answer = post(used, query, confirmed="yes")
    assert answer.status_code == 400 and text in answer.content.decode() and not Invoice.objects.exists()
    page = used.cast.browser("root").get(f"{PAGE}{query}")
    assert text in page.content.decode() and 'name="confirmed"' not in page.content.decode()


def test_nobody_bills_until_an_issuer_is_entered(used: Shop) -> None:
    Issuer.objects.all().delete()
    page = used.cast.browser("root").get(f"{PAGE}{MONTH}").content.decode()
    assert "no issuer is entered" in page and 'name="confirmed"' not in page
    assert post(used, confirmed="yes").status_code == 400 and not Invoice.objects.exists()


def test_who_may_look_at_invoices_only_looks(used: Shop) -> None:
    used.cast.vera.is_staff = True
    used.cast.vera.save()
    used.cast.vera.user_permissions.add(Permission.objects.get(codename="view_invoice", content_type__app_label="billing"))
    browser = used.cast.browser("vera")
    page = browser.get(f"{PAGE}{MONTH}")
    assert "1,799.50 CNY" in page.content.decode() and 'name="confirmed"' not in page.content.decode()
    assert browser.post(f"{PAGE}{MONTH}", {"confirmed": "yes"}).status_code == 403 and not Invoice.objects.exists()


def test_what_waits_for_a_later_month_opens_no_earlier_one(used: Shop) -> None:
    closing.close_all(OCTOBER, now=SECOND_OF_NOVEMBER)
    closing.adjust(used.cast.organization, Decimal(7), "Later", None, now=SECOND_OF_NOVEMBER + 100 * HOUR)
    assert Charge.objects.filter(line=None).count() == 1
    assert not closing.to_close(OCTOBER.previous).exists() and closing.to_close(OCTOBER.next).count() == 1
