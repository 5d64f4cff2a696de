"""What is unusual and what is idle: told with its reason, to who pays for it, and to nobody else."""
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import rating
from billing.costs.anomalies import anomalies
from billing.costs.idle import MOST_PRICED, idle
from billing.models import Price
from billing.money import Money
from portal.kernel import remembered
from portal.kernel.declarations import IdleRule, registry
from portal.kernel.models import Resource
from storage.models import Volume
from tests.billing.lamps import BIG, Shop

NOW = datetime(2026, 2, 20, 9, tzinfo=UTC)
TODAY = datetime(2026, 2, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    remembered.forget()
    yield
    remembered.forget()


def yuan(amount: str) -> Money:
    return Money(Decimal(amount), "CNY")


def found(shop: Shop, now: datetime = NOW) -> tuple:
    return anomalies(rating.Selection(projects={shop.cast.project.pk}), now)


def usual(shop: Shop, days: int, hours: int = 1) -> None:
    """A lamp that burns big for so long each day, yesterday as always."""
    lamp = shop.lamp("usual")
    for number in range(1, days + 2):
        shop.burnt(lamp, TODAY - number * DAY, TODAY - number * DAY + hours * HOUR, reading=BIG)


def unusual(shop: Shop, hours: int, name: str = "forgotten") -> None:
    shop.burnt(shop.lamp(name), TODAY - DAY, TODAY - DAY + hours * HOUR, reading=BIG)


def test_three_times_the_usual_is_told_with_what_grew(shop: Shop) -> None:
    usual(shop, 14)
    unusual(shop, 2)
    [one] = found(shop)
    assert (one.project.name, one.service, one.day) == ("web", "lamp", (TODAY - DAY).date())
    assert (one.amount, one.usual, one.times) == (yuan("10.8"), yuan("3.6"), Decimal("3.0"))
    assert [(grown.resource.name, grown.by.amount) for grown in one.grown] == [("forgotten", Decimal("7.2"))]


def test_a_little_less_is_usual(shop: Shop) -> None:
    usual(shop, 14)
    shop.burnt(shop.lamp(), TODAY - DAY, TODAY - DAY + 2 * HOUR - timedelta(seconds=1), reading=BIG)
    assert found(shop) == ()


def test_who_is_known_for_less_than_a_week_has_nothing_usual(shop: Shop) -> None:
    usual(shop, 6)
    unusual(shop, 9)
    assert found(shop) == ()
    shop.burnt(shop.lamp(), TODAY - 8 * DAY, TODAY - 8 * DAY + HOUR)
    assert [one.usual for one in found(shop)] == [yuan("3.6")]


def test_days_without_cost_count(shop: Shop) -> None:
    """Three days in eight it burnt: usually it costs nothing."""
    lamp = shop.lamp("weekend")
    for number in (8, 5, 3):
        shop.burnt(lamp, TODAY - number * DAY, TODAY - number * DAY + HOUR, reading=BIG)
    unusual(shop, 1)
    [one] = found(shop)
    assert (one.usual, one.times) == (yuan("0"), None)


def test_cents_are_nobodys_trouble(shop: Shop) -> None:
    lamp = shop.lamp()
    for number in range(2, 15):
        shop.burnt(lamp, TODAY - number * DAY, TODAY - number * DAY + timedelta(minutes=1))
    shop.burnt(lamp, TODAY - DAY, TODAY - DAY + 2 * HOUR)
    assert found(shop) == ()


def test_today_is_not_over(shop: Shop) -> None:
    usual(shop, 14)
    shop.burnt(shop.lamp(), TODAY, NOW, reading=BIG)
    assert found(shop) == ()


def test_what_grew_in_one_project_is_not_told_of_another(shop: Shop) -> None:
    usual(shop, 14)
    unusual(shop, 5)
    shop.burnt(shop.lamp("theirs", project=shop.cast.rival_project), TODAY - DAY, TODAY, reading=BIG)
    for selection in (rating.Selection(projects={shop.cast.project.pk}), rating.Selection(projects=None)):
        [one] = anomalies(selection, NOW)
        assert [grown.resource.name for grown in one.grown] == ["forgotten"]
    assert anomalies(rating.Selection(projects={shop.cast.rival_project.pk}), NOW) == ()


# ---- idle ----

@pytest.fixture
def price_of_disks(shop: Shop) -> None:
    Price.objects.create(book=shop.book, region=shop.cast.region, meter="volume", sku="local", price_per_hour=Decimal("0.001"),
                         valid=(datetime(2026, 1, 1, tzinfo=UTC), None))


def disk(shop: Shop, name: str, since: datetime, *, state: str = Volume.State.AVAILABLE, project=None,
         size_gib: int = 10) -> Volume:
    volume = Volume.objects.create(project=project or shop.cast.project, region=shop.cast.region, name=name, state=state,
                                   size_gib=size_gib)
    Volume.objects.filter(pk=volume.pk).update(state_changed_at=since)
    [reading] = volume.readings(state)
    shop.burnt(volume, since, None, reading=reading)
    return volume


def test_a_volume_that_nobody_attached_for_a_week_is_told_at_its_price(shop: Shop, price_of_disks: None) -> None:
    disk(shop, "old", NOW - 8 * DAY)
    disk(shop, "new", NOW - 6 * DAY)
    disk(shop, "used", NOW - 8 * DAY, state=Volume.State.IN_USE)
    things = idle({shop.cast.project.pk}, NOW)
    assert [(one.resource.name, one.rule.name, one.monthly, one.since) for one in things.rows] == [
        ("old", "volume.detached", yuan("7.3"), NOW - 8 * DAY)]
    assert things.saving == [yuan("7.3")] and not things.is_cut


def test_nobody_is_told_of_what_others_left_lying(shop: Shop, price_of_disks: None) -> None:
    disk(shop, "mine", NOW - 8 * DAY)
    disk(shop, "theirs", NOW - 9 * DAY, project=shop.cast.rival_project)
    assert [one.resource.name for one in idle({shop.cast.project.pk}, NOW).rows] == ["mine"]
    assert len(idle(None, NOW).rows) == 2 and idle(set(), NOW).rows == ()


def test_what_is_free_or_deleted_saves_nothing(shop: Shop, price_of_disks: None) -> None:
    gone = disk(shop, "gone", NOW - 8 * DAY)
    Resource.objects.filter(pk=gone.pk).update(deleted_at=NOW)
    Price.objects.filter(meter="volume").update(price_per_hour=0)
    disk(shop, "free", NOW - 8 * DAY)
    assert idle({shop.cast.project.pk}, NOW).rows == ()


def test_what_a_thing_drags_along_is_in_its_price(shop: Shop, price_of_disks: None) -> None:
    """A rule of a room that billing has never heard of: big disks are idle, with the small ones that hang on them."""
    big = disk(shop, "big", NOW - DAY, state=Volume.State.IN_USE, size_gib=1000)
    hung = disk(shop, "hung", NOW - DAY, state=Volume.State.IN_USE)
    rule = IdleRule(name="volume.big", label="Big", hint="Sell it.", parts=lambda ids: dict.fromkeys([hung.pk], *ids),
                    rows=lambda now: Volume.objects.filter(size_gib__gt=100))
    registry.add(rule)
    try:
        [one] = idle({shop.cast.project.pk}, NOW).rows
    finally:
        del registry.idle_rules[rule.name]
    assert (one.resource.id, one.rule.label, one.monthly) == (big.pk, "Big", yuan("737.3"))


def test_only_so_many_are_priced_and_that_is_said(shop: Shop, price_of_disks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.costs.idle.MOST_PRICED", 2)
    assert MOST_PRICED == 100
    for number in range(3):
        disk(shop, f"d{number}", NOW - (20 - number) * DAY)
    things = idle({shop.cast.project.pk}, NOW)
    assert {one.resource.name for one in things.rows} == {"d0", "d1"} and things.is_cut
