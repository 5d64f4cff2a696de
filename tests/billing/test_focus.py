"""FOCUS 1.2: each row is held to the columns' rules as the specification states them, and the sums to the invoices."""
import csv
import io
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import focus
from billing.models import Charge, Credit, CreditUse, Invoice, PriceBook
from billing.operations import set_price
from tests.billing.bills import Used, credit_note, day, invoice
from tests.billing.lamps import Shop

MANDATORY = {  # of version 1.2; those that are never null
    "BilledCost": True, "BillingAccountId": True, "BillingAccountName": False, "BillingCurrency": True,
    "BillingPeriodEnd": True, "BillingPeriodStart": True, "ChargeCategory": True, "ChargeClass": False,
    "ChargeDescription": False, "ChargePeriodEnd": True, "ChargePeriodStart": True, "ContractedCost": True,
    "EffectiveCost": True, "InvoiceIssuerName": True, "ListCost": True, "PricingQuantity": False, "PricingUnit": False,
    "ProviderName": True, "PublisherName": True, "ServiceCategory": True, "ServiceName": True}
CATEGORIES = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
SERVICES = {"AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
            "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration",
            "Mobile", "Networking", "Security", "Storage", "Web", "Other"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
PRICED = ("ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "PricingUnit", "PricingCategory", "SkuId", "SkuPriceId",
          "ConsumedQuantity", "ConsumedUnit")
LAST = Decimal("0.0000000001")


def broken(row: dict[str, Any]) -> list[str]:
    """The rules that a row breaks, by column."""
    found = [name for name, is_needed in MANDATORY.items() if name not in row or (is_needed and row[name] is None)]
    found += [f"{name}: {row[name]}" for name in focus.NUMBERS if row[name] is not None and not NUMBER.fullmatch(row[name])]
    found += [f"{name}: {row[name]}" for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
                                                 "ChargePeriodEnd") if not MOMENT.fullmatch(row[name])]
    found += [f"{name} is empty text" for name, value in row.items() if value == ""]
    found += ["BillingCurrency"] * (not re.fullmatch("[A-Z]{3}", row["BillingCurrency"]))
    found += ["ChargeCategory"] * (row["ChargeCategory"] not in CATEGORIES)
    found += ["ChargeClass"] * (row["ChargeClass"] not in (None, "Correction"))
    found += ["ServiceCategory"] * (row["ServiceCategory"] not in SERVICES)
    found += ["ChargePeriod"] * (row["ChargePeriodStart"] >= row["ChargePeriodEnd"])
    if row["Tags"] is not None:
        found += ["Tags"] * (not isinstance(json.loads(row["Tags"]), dict))
    if row["ChargeCategory"] == "Tax":
        found += [f"{name} of a tax" for name in PRICED if row[name] is not None]
    if row["ChargeCategory"] != "Usage":
        found += [f"{name} without use" for name in ("ConsumedQuantity", "ConsumedUnit") if row[name] is not None]
    elif row["ChargeClass"] is None:
        found += [f"{name} is missing" for name in PRICED if row[name] is None]
        for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
            product = (Decimal(row[price]) * Decimal(row["PricingQuantity"])).quantize(LAST)
            found += [f"{price} × PricingQuantity: {product}, {cost}: {row[cost]}"] * (product != Decimal(row[cost]))
    return found


@pytest.fixture
def billed(shop: Shop) -> Invoice:
    """A month with a third of a second's price, a discount, a tier, credit and tax."""
    lamp = shop.lamp("=HYPERLINK(1)", tags={"env": "prod"})
    price = set_price(PriceBook.objects.get(), region=shop.cast.region, meter="lamp", sku="tall", price_per_hour=Decimal("0.37"),
                      actor=shop.cast.root)
    used = {"project": shop.cast.project, "region": shop.cast.region, "meter": "lamp", "sku": "tall", "resource": lamp,
            "price": price}
    made = invoice(shop.cast.organization, Used(**used, seconds=100_001, price_per_hour=Decimal("0.37")),
                   Used(**used, seconds=7, price_per_hour=Decimal("0.0000000001")),
                   Used(**used, seconds=86_399, discount=Decimal("12.5"), tier=Decimal(100)), tax="6", credit=Decimal("5"))
    credit = Credit.objects.create(organization=shop.cast.organization, amount=20, currency="CNY", reason="welcome",
                                   created_at=day(1))
    CreditUse.objects.create(credit=credit, invoice=made, amount=Decimal("5"))
    return made


def test_each_row_keeps_the_rules_of_its_columns(billed: Invoice) -> None:
    rows = list(focus.rows(billed))
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Tax", "Credit", "Adjustment"}
    assert [fault for row in rows for fault in broken(row)] == []
    assert {tuple(row) for row in rows} == {focus.COLUMNS}


def test_the_rows_add_up_to_the_invoice(billed: Invoice) -> None:
    assert sum(Decimal(row["BilledCost"]) for row in focus.rows(billed)) == billed.total
    assert sum(Decimal(row["BilledCost"]) for row in focus.rows(billed) if row["ChargeCategory"] == "Tax") == billed.tax


def test_a_credit_note_is_a_correction_below_zero(billed: Invoice) -> None:
    note = credit_note(billed, Decimal("2.50"), number="CN-1")
    (row,) = focus.rows(note)
    assert broken(row) == []
    assert (row["BilledCost"], row["ChargeClass"], row["InvoiceId"]) == ("-2.50", "Correction", "CN-1")


def test_a_correction_says_so(billed: Invoice) -> None:
    charge = Charge.objects.filter(kind="usage").first()
    charge.pk, charge.kind, charge.amount = None, "correction", Decimal("-0.36")
    charge.save(force_insert=True)
    row = next(row for row in focus.rows(billed) if row["ChargeClass"] == "Correction")
    assert (broken(row), row["ChargeCategory"], row["BilledCost"], row["SkuMeter"]) == ([], "Usage", "-0.36", "lamp")


def test_who_where_and_what(billed: Invoice, shop: Shop) -> None:
    row = next(row for row in focus.rows(billed) if row["ChargeCategory"] == "Usage")
    assert row["BillingAccountId"] == str(shop.cast.organization.pk)
    assert (row["SubAccountId"], row["SubAccountName"], row["SubAccountType"]) == (
        str(shop.cast.project.pk), shop.cast.project.name, "Project")
    assert (row["ResourceName"], row["ResourceType"], row["RegionId"]) == ("=HYPERLINK(1)", "lamp", shop.cast.region.slug)
    assert json.loads(row["Tags"]) == {"env": "prod"}
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["PricingUnit"]) == ("100001", "Seconds", "Hours")


def test_the_command_writes_a_file_that_calculates_nothing(billed: Invoice) -> None:
    out = io.StringIO()
    call_command("billing", "focus", "--invoice", billed.number, stdout=out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == billed.total
    assert "'=HYPERLINK(1)" in {row["ResourceName"] for row in rows}
    assert not [value for row in rows for name, value in row.items()
                if name not in focus.NUMBERS and value.startswith(("=", "+", "-", "@"))]


def test_an_invoice_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(CommandError, match="no invoice X-1"):
        call_command("billing", "focus", "--invoice", "X-1")


@pytest.mark.parametrize(("column", "value"), [
    ("BilledCost", None), ("BilledCost", "1,5"), ("ChargeCategory", "Fee"), ("ChargePeriodEnd", "2026-01-01T00:00:00Z"),
    ("ListCost", "99"), ("BillingCurrency", "yuan"), ("Tags", "[]"), ("SkuId", ""), ("ServiceCategory", "Lamps")])
def test_the_rules_find_what_is_wrong(billed: Invoice, column: str, value: str | None) -> None:
    row = next(row for row in focus.rows(billed) if row["ChargeCategory"] == "Usage")
    assert broken(row | {column: value})
