"""The ladder of who does not pay: every rung in its time and told of before, down at once, and what is new is refused."""
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import closing, ladder, operations, payments, profiles
from billing.models import Dunning, Invoice, Issuer, PriceBook
from billing.periods import Month
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput, Unpaid
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from tenants import quotas
from tests.billing.conftest import make_shop
from tests.billing.lamps import Shop
from tests.billing.races import at_once
from tests.billing.test_closing_again import Killed, killed_at

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ISSUED = datetime(2026, 11, 2, tzinfo=UTC)
DUE = ISSUED + 14 * DAY


def owe(shop: Shop, month: int = 10, hours: int = 10) -> Invoice:
    """An invoice over 0.36 an hour, issued on the second of the next month, due two weeks later."""
    at = datetime(2026, month, 3, tzinfo=UTC)
    shop.burnt(shop.lamp(str(month)), at, at + hours * HOUR)
    (invoice,) = closing.close(shop.cast.organization, Month(2026, month), now=datetime(2026, month + 1, 2, tzinfo=UTC))
    return invoice


def pay(shop: Shop, amount: str = "3.60", reference: str = "1") -> None:
    payments.record(shop.cast.organization, Decimal(amount), "CNY", "manual", reference, shop.cast.root)


def rung(shop: Shop, now: datetime) -> str:
    return ladder.follow(shop.cast.organization, now=now).rung


def standing(shop: Shop) -> str:
    row = Dunning.objects.filter(pk=shop.cast.organization.pk).first()
    return row.rung if row else "none"


def acts() -> list[str]:
    """In their order."""
    return list(AuditEvent.objects.filter(action__startswith="dunning.").order_by("at", "pk").values_list("action", flat=True))


def take(shop: Shop) -> None:
    with transaction.atomic():
        quotas.reserve(shop.cast.project, shop.cast.region, {"instances": 1})


@pytest.fixture
def heard() -> Any:
    """What rooms are told to stop."""
    calls: list[tuple[str, str]] = []

    def hook(organization: Any, rung: str) -> None:
        calls.append((organization.name, rung))

    registry.unpaid_hooks.append(hook)
    yield calls
    registry.unpaid_hooks.remove(hook)


# -- the story --

def test_a_debtor_climbs_every_rung_in_its_time_and_comes_down_when_all_is_paid(
        shop: Shop, heard: list, django_capture_on_commit_callbacks: Callable) -> None:
    owe(shop)
    assert rung(shop, DUE - HOUR) == "none" and not Dunning.objects.exists()
    assert rung(shop, DUE + 2 * DAY) == "none"
    assert Dunning.objects.get().next_at == DUE + 3 * DAY
    assert rung(shop, DUE + 3 * DAY) == "reminder"
    take(shop)  # a reminder refuses nothing
    assert rung(shop, DUE + 9 * DAY) == "reminder"
    assert rung(shop, DUE + 10 * DAY) == "blocked"
    with pytest.raises(Unpaid) as refused:
        take(shop)
    assert (refused.value.status, refused.value.facts) == (
        402, {"organization": "Acme", "since": "2026-11-16", "rung": "blocked"})
    assert rung(shop, DUE + 19 * DAY) == "blocked" and heard == []
    with django_capture_on_commit_callbacks(execute=True):
        assert rung(shop, DUE + 20 * DAY) == "stopped"
    assert heard == [("Acme", "stopped")]
    with django_capture_on_commit_callbacks(execute=True):
        assert rung(shop, DUE + 40 * DAY) == "recycled"
    assert Dunning.objects.get().next_at is None and heard[-1] == ("Acme", "recycled")
    assert rung(shop, DUE + 400 * DAY) == "recycled"
    pay(shop)
    assert standing(shop) == "none"  # at once: no clock has come by
    take(shop)
    assert acts() == ["dunning.remind", "dunning.block", "dunning.stop", "dunning.recycle", "dunning.lift"]


def test_others_are_not_touched(shop: Shop) -> None:
    owe(shop)
    rung(shop, DUE + 10 * DAY)
    rung(shop, DUE + 11 * DAY)
    with pytest.raises(Unpaid):
        take(shop)
    with transaction.atomic():
        quotas.reserve(shop.cast.rival_project, shop.cast.region, {"instances": 1})


def test_each_rung_says_what_comes_next_and_when(shop: Shop) -> None:
    owe(shop)
    rung(shop, DUE + 3 * DAY)
    after = AuditEvent.objects.get(action="dunning.remind").after
    assert (after["rung"], after["next"], after["next_at"]) == ("reminder", "blocked", (DUE + 10 * DAY).isoformat())
    assert after["reason"] == "2026-11-16 00:00 UTC → 2026-11-26 00:00 UTC: blocked"
    notice = Notice.objects.get(act="dunning.remind")
    assert (notice.user, notice.kind, notice.facts["reason"]) == (shop.cast.alice, "billing.unpaid", after["reason"])


def test_operators_hear_of_what_is_to_be_deleted(shop: Shop) -> None:
    owe(shop)
    for day in (3, 10, 20, 40):
        rung(shop, DUE + day * DAY)
    assert {notice.user.username for notice in Notice.objects.filter(act="dunning.recycle")} == {"alice", "root"}


def test_again_changes_nothing(shop: Shop) -> None:
    owe(shop)
    for _time in range(3):
        rung(shop, DUE + 3 * DAY)
    assert acts() == ["dunning.remind"]


def test_a_clock_that_stood_still_skips_no_rung_and_no_grace(shop: Shop) -> None:
    """A month late, everything is due at once; each rung is told of, and the next comes a day later at the soonest."""
    owe(shop)
    late, seen = DUE + 60 * DAY, []
    for hours in (0, 1, 23, 24, 25, 48, 72, 96):
        seen.append(rung(shop, late + hours * HOUR))
    assert seen == ["reminder", "reminder", "reminder", "blocked", "blocked", "stopped", "recycled", "recycled"]


def test_part_of_the_debt_paid_brings_it_down_as_far_as_that(shop: Shop) -> None:
    first = owe(shop, 9)  # due on the 16th of October
    owe(shop, 10)
    for day in (3, 10, 20):
        rung(shop, first.due_at + day * DAY)
    now = DUE + 4 * DAY
    assert rung(shop, now) == "stopped"
    pay(shop)
    assert rung(shop, now) == "reminder"
    assert Dunning.objects.get().began_at == DUE
    assert acts()[-1] == "dunning.lower"
    told = Notice.objects.filter(act="dunning.lower")
    assert told and all(notice.facts["reason"].startswith("2026-11-16") for notice in told)


def test_what_is_taken_back_of_one_that_is_paid_pays_the_next_and_lifts_at_once(shop: Shop) -> None:
    paid = owe(shop, 9)
    pay(shop)
    owe(shop)
    rung(shop, DUE + 3 * DAY)
    rung(shop, DUE + 10 * DAY)
    assert standing(shop) == "blocked"
    payments.credit_note(paid, reason="Sorry", amount=paid.subtotal, actor=shop.cast.root)
    assert standing(shop) == "none"


@pytest.mark.parametrize("verb", [
    lambda invoice, root: payments.credit_note(invoice, reason="Sorry", amount=invoice.subtotal, actor=root),
    lambda invoice, root: payments.write_off(invoice, reason="Bankrupt", actor=root)])
def test_what_is_taken_back_or_written_off_is_not_due(shop: Shop, verb: Callable) -> None:
    invoice = owe(shop)
    rung(shop, DUE + 3 * DAY)
    rung(shop, DUE + 10 * DAY)
    verb(invoice, shop.cast.root)
    assert standing(shop) == "none"
    take(shop)


def test_a_payment_that_is_too_small_lifts_nothing(shop: Shop) -> None:
    owe(shop)
    rung(shop, DUE + 3 * DAY)
    rung(shop, DUE + 10 * DAY)
    pay(shop, "3.59")
    assert standing(shop) == "blocked"


def test_the_issuer_says_how_many_days(shop: Shop) -> None:
    Issuer.objects.create(pk=1, name="Waterworks", reminder_days=1, block_days=2, stop_days=5, recycle_days=6)
    owe(shop)
    assert [rung(shop, DUE + day * DAY) for day in (0, 1, 2, 4, 5, 6)] == [
        "none", "reminder", "blocked", "blocked", "stopped", "recycled"]


def test_days_that_do_not_climb_are_refused(shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="issuer_rungs_climb"), transaction.atomic():
        Issuer.objects.create(pk=1, name="Waterworks", reminder_days=5, block_days=5)


# -- held --

def test_operators_hold_it_until_a_day_with_a_reason(shop: Shop) -> None:
    owe(shop)
    rung(shop, DUE + 3 * DAY)
    ladder.hold(shop.cast.organization, until=DUE + 15 * DAY, reason="They called", actor=shop.cast.root, now=DUE + 4 * DAY)
    assert rung(shop, DUE + 12 * DAY) == "reminder"
    assert rung(shop, DUE + 15 * DAY) == "blocked"
    event = AuditEvent.objects.get(action="dunning.hold")
    assert (event.actor, event.after["reason"]) == (shop.cast.root, "They called")


def test_who_is_held_still_comes_down(shop: Shop) -> None:
    owe(shop)
    rung(shop, DUE + 3 * DAY)
    ladder.hold(shop.cast.organization, until=DUE + 15 * DAY, reason="x", actor=shop.cast.root, now=DUE)
    pay(shop)
    assert standing(shop) == "none"


@pytest.mark.parametrize(("values", "field"), [
    ({"until": DUE - DAY}, "held_until"), ({"reason": " "}, "hold_reason"), ({"reason": "x" * 201}, "hold_reason")])
def test_a_hold_that_makes_no_sense_is_refused_by_field(shop: Shop, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ladder.hold(shop.cast.organization, **{"until": DUE + DAY, "reason": "x", "actor": None, "now": DUE} | values)
    assert set(refused.value.errors) == {field} and not Dunning.objects.exists()


# -- who pays in advance --

@pytest.fixture
def ahead(shop: Shop) -> Shop:
    type(shop.cast.organization).objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    shop.cast.organization.refresh_from_db()
    profiles.set_profile(shop.cast.organization, actor=shop.cast.root, is_prepaid=True)
    return shop


def test_it_runs_dry_between_two_beats_and_is_followed_by_the_hour(ahead: Shop) -> None:
    began = datetime(2026, 11, 10, tzinfo=UTC)
    pay(ahead, "0.36")
    ahead.burnt(ahead.lamp(), began, None)
    assert rung(ahead, began + HOUR - timedelta(minutes=2)) == "none"
    dry = began + HOUR + timedelta(minutes=3)
    assert rung(ahead, dry) == "none"
    assert (Dunning.objects.get().cause, Dunning.objects.get().began_at) == ("empty", dry)
    assert [rung(ahead, dry + hours * HOUR) for hours in (2, 3, 9, 10, 20, 39, 40)] == [
        "none", "reminder", "reminder", "blocked", "stopped", "stopped", "recycled"]
    pay(ahead, "1000000", "2")  # for all that it has used until today
    assert standing(ahead) == "none" and Dunning.objects.get().began_at is None


def test_dry_and_topped_up_between_two_beats_is_not_seen(ahead: Shop) -> None:
    began = datetime(2026, 11, 10, tzinfo=UTC)
    pay(ahead, "0.36")
    ahead.burnt(ahead.lamp(), began, None)
    rung(ahead, began)
    pay(ahead, "100", "2")
    rung(ahead, began + 2 * HOUR)
    assert acts() == [] and Dunning.objects.get().began_at is None


def test_a_debt_in_a_currency_of_before_is_dunned_too(ahead: Shop) -> None:
    """It pays in euro now, has enough of them, and still owes an hour in yuan."""
    began = datetime(2026, 11, 10, tzinfo=UTC)
    ahead.burnt(ahead.lamp(), began, began + HOUR)
    euro = PriceBook.objects.create(name="Euro", currency="EUR")
    operations.set_price(euro, region=ahead.cast.region, meter="lamp", sku="small", price_per_hour=Decimal(1),
                         actor=ahead.cast.root, valid_from=began, now=began)
    changed = began + 2 * HOUR
    operations.set_terms(ahead.cast.organization, book=euro, actor=ahead.cast.root, valid_from=changed, now=began)
    payments.record(ahead.cast.organization, Decimal(5), "EUR", "manual", "euros", ahead.cast.root)
    assert [rung(ahead, changed + hours * HOUR) for hours in (0, 2, 3, 10)] == ["none", "none", "reminder", "blocked"]
    assert Dunning.objects.get().cause == "empty"
    pay(ahead, "0.36")
    assert standing(ahead) == "none"


def test_who_has_used_nothing_owes_nothing(ahead: Shop) -> None:
    assert rung(ahead, DUE) == "none" and not Dunning.objects.exists()


# -- the clock --

def test_the_clock_looks_at_whoever_owes_or_lives_on_credit(shop: Shop) -> None:
    assert list(ladder.followed()) == []
    owe(shop)
    assert list(ladder.followed()) == [shop.cast.organization]
    assert ladder.follow_all(now=DUE + 3 * DAY) == []
    assert standing(shop) == "reminder"
    pay(shop)
    assert list(ladder.followed()) == []
    profiles.set_profile(shop.cast.rival_organization, actor=shop.cast.root, is_prepaid=True)
    assert list(ladder.followed()) == [shop.cast.rival_organization]


def test_one_that_fails_keeps_none_of_the_others_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    owe(shop)
    follow = ladder.follow

    def fail_for_rival(organization: Any, **options: Any) -> Dunning:
        if organization == shop.cast.rival_organization:
            raise RuntimeError("planted")
        return follow(organization, **options)

    monkeypatch.setattr(ladder, "follow", fail_for_rival)
    both = [shop.cast.rival_organization, shop.cast.organization]
    assert ladder.follow_all(both, now=DUE + 3 * DAY) == [shop.cast.rival_organization]
    assert standing(shop) == "reminder"


@pytest.mark.django_db(transaction=True)
def test_a_payment_that_comes_while_the_clock_blocks_wins(lamps_are_metered: None) -> None:
    """Whichever is first: in the end it is paid and nothing is blocked."""
    shop = make_shop()
    for number in range(3):
        owe(shop, 7 + number)
        due = datetime(2026, 8 + number, 2, tzinfo=UTC) + 14 * DAY
        rung(shop, due + 3 * DAY)
        works = [lambda due=due: ladder.follow_all(now=due + 10 * DAY), lambda number=number: pay(shop, reference=f"r{number}")]
        assert at_once(lambda which, works=works: works[which](), 2) == []
        assert standing(shop) == "none"
        take(shop)


@pytest.mark.django_db(transaction=True)
def test_killed_at_each_statement_it_leaves_nothing_and_then_what_one_leaves(lamps_are_metered: None) -> None:
    shop = make_shop()
    owe(shop)
    rung(shop, DUE + 3 * DAY)

    def written() -> tuple[Any, ...]:
        return (*Dunning.objects.values_list(), *acts(), Notice.objects.count())

    before, number = written(), 0
    while True:
        number += 1
        try:
            with killed_at(number) as passed:
                ladder.follow(shop.cast.organization, now=DUE + 10 * DAY)
        except Killed:
            assert written() == before
        else:
            break
    assert passed[0] == number - 1 > 8  # all statements were tried
    assert acts() == ["dunning.remind", "dunning.block"] and standing(shop) == "blocked"


def test_whoever_changes_the_terms_holds_the_organization_first(shop: Shop) -> None:
    """The ladder holds it too, in the same transaction: taken the other way round, two would wait for each other."""
    with CaptureQueriesContext(connection) as asked:
        profiles.set_profile(shop.cast.organization, actor=shop.cast.root, is_prepaid=True)
    held = [one["sql"] for one in asked if "FOR NO KEY UPDATE" in one["sql"]]
    assert ['"tenants_organization"' in one for one in held] == [True, False]
