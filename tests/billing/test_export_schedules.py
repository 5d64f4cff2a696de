"""A data warehouse gets its file after every month's closing, signed, until it has it; and no file goes where it should not."""
import base64
import hashlib
import hmac
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.urls import reverse

from billing.exports import delivery, folders, schedules
from billing.models import Export, ExportSchedule, Invoice
from billing.tasks import exports as tick
from portal.kernel.errors import InvalidInput, NotFound, QuotaExceeded
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tenants.models import Organization
from tenants.roles import bind
from tests.billing.exported import content, rows, work
from tests.billing.lamps import Shop
from tests.billing.months import close, furnish, october
from tests.billing.races import at_once
from tests.webhooks.receiver import Receiver, receiver, status

THIRD = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture(autouse=True)
def directory(settings, tmp_path) -> None:
    settings.DOORBELLS = False
    (tmp_path / "folders").mkdir()
    settings.EXPORTS = settings.EXPORTS | {"directory": tmp_path / "files", "folders": str(tmp_path / "folders")}


@pytest.fixture
def hooked(settings):
    settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": [ip_network("127.0.0.0/8")], "plain_http": True}
    with receiver() as found:
        yield found


def make(shop: Shop, **values: object) -> ExportSchedule:
    given = {"name": "warehouse", "what": "focus", "format": "json", "every": "month", "actor": shop.cast.alice,
             "now": october(15)} | values
    return schedules.create_schedule(shop.cast.organization, **given)[0]


def due_now() -> None:
    """Time is not what is tested."""
    Export.objects.filter(delivery="pending").update(next_at=database_now(), lease_until=None)


def run(now: datetime = THIRD) -> Export:
    assert schedules.start_due(now) == 1
    work()
    due_now()
    delivery.run()
    return Export.objects.latest("created_at")


def test_the_month_is_brought_after_it_was_closed_and_signed(shop: Shop, hooked: Receiver) -> None:
    furnish(shop)
    schedule, secret = schedules.create_schedule(shop.cast.organization, name="warehouse", what="focus", format="json",
                                                 every="month", url=hooked.url, actor=shop.cast.alice, now=october(15))
    assert schedule.next_at == datetime(2026, 11, 2, 2, tzinfo=UTC)
    assert schedules.start_due(october(31)) == 0  # nothing is due
    assert schedules.start_due(datetime(2026, 11, 2, 2, 30, tzinfo=UTC)) == 0 and not Export.objects.exists()  # it is not closed
    [made] = close(shop)
    found = run()
    assert (found.first_month, found.last_month, found.delivery, found.state) == ("2026-10", "2026-10", "delivered", "ready")
    [request] = hooked.seen
    assert request.body == content(found)
    assert sum(Decimal(row["BilledCost"]) for row in rows(found)) == made.total
    told = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = f"v1,{base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()}"
    assert request.headers["webhook-signature"] == wanted and request.headers["content-length"] == str(found.size)
    schedule.refresh_from_db()
    assert schedule.next_at == datetime(2026, 12, 2, 2, tzinfo=UTC)
    assert schedules.start_due(THIRD) == 0  # once a month
    assert AuditEvent.objects.filter(action="export.deliver").count() == 1


def test_a_month_that_is_never_closed_is_brought_all_the_same_in_the_end(shop: Shop, hooked: Receiver) -> None:
    furnish(shop)
    schedule = make(shop, url=hooked.url)
    late = datetime(2026, 11, 5, 1, tzinfo=UTC)
    ExportSchedule.objects.filter(pk=schedule.pk).update(next_at=late - timedelta(hours=1))
    assert run(late).first_month == "2026-10" and not Invoice.objects.exists()


@pytest.mark.parametrize(("every", "due", "months", "following"), [
    ("day", datetime(2026, 11, 1, 0, 30, tzinfo=UTC), ("2026-10", "2026-10"), datetime(2026, 11, 2, 0, 30, tzinfo=UTC)),
    ("day", datetime(2026, 11, 2, 0, 30, tzinfo=UTC), ("2026-11", "2026-11"), datetime(2026, 11, 3, 0, 30, tzinfo=UTC)),
    ("week", datetime(2026, 11, 2, 0, 30, tzinfo=UTC), ("2026-10", "2026-11"), datetime(2026, 11, 9, 0, 30, tzinfo=UTC)),
    ("month", datetime(2026, 12, 2, 2, tzinfo=UTC), ("2026-11", "2026-11"), datetime(2027, 1, 2, 2, tzinfo=UTC))])
def test_no_day_is_left_out(shop: Shop, every: str, due: datetime, months: tuple, following: datetime) -> None:
    assert schedules.months_of(every, due) == months
    assert schedules.next_after(every, due) == following


def test_a_receiver_that_refuses_is_asked_again_and_the_log_says_why(shop: Shop, hooked: Receiver) -> None:
    furnish(shop)
    close(shop)
    hooked.answers += [status(503, b"try later"), status(301, Location="http://10.0.0.1/")]
    make(shop, url=hooked.url)
    found = run()
    assert (found.delivery, found.tries, found.next_at > database_now() + timedelta(seconds=30)) == ("pending", 1, True)
    for _again in range(2):
        due_now()
        delivery.run()
    found.refresh_from_db()
    assert found.delivery == "delivered" and [one["error"] for one in found.attempts] == ["status", "redirect", ""]
    assert len({request.headers["webhook-id"] for request in hooked.seen}) == 1
    page = shop.cast.browser("alice").get(reverse("exports:detail", args=[found.pk])).content.decode()
    assert "503" in page and "try later" in page and "redirect" in page
    assert "Delivered" in shop.cast.browser("alice").get(
        reverse("export_schedules:detail", args=[ExportSchedule.objects.get().pk])).content.decode()


def test_it_is_given_up_in_the_end(shop: Shop, hooked: Receiver) -> None:
    hooked.usual = status(500)
    make(shop, url=hooked.url)
    found = run()
    for _again in delivery.BACKOFF_S:
        due_now()
        delivery.run()
    found.refresh_from_db()
    assert (found.delivery, found.tries, found.next_at) == ("failed", len(delivery.BACKOFF_S) + 1, None)


def test_a_name_that_leads_inside_by_now_is_not_connected_to(shop: Shop, hooked: Receiver, settings) -> None:
    make(shop, url=hooked.url)
    settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": []}
    assert run().attempts[-1]["error"] == "refused" and hooked.seen == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://127.0.0.1/", "https://localhost/", "ftp://example.org/",
                                 "https://user:pass@example.org/", "https://example.org:6379/", "file:///etc/passwd", "x"])
def test_hostile_addresses_are_refused_when_they_are_entered(shop: Shop, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(shop, url=url)
    assert list(refused.value.errors) == ["url"]


def test_into_a_folder_of_ones_own(shop: Shop, tmp_path: Path) -> None:
    furnish(shop)
    close(shop)
    make(shop, folder="bills", format="csv")
    found = run()
    left = tmp_path / "folders" / str(shop.cast.organization.pk) / "bills" / found.file_name
    assert found.delivery == "delivered" and left.read_bytes() == content(found)
    assert [path.name for path in left.parent.iterdir()] == [found.file_name]


@pytest.mark.parametrize("folder", ["../x", "a/b", "..", ".", "/etc", "a\\b", "A", "x" * 61, "a\n", ".ssh", "a\0b", "-a"])
def test_no_folder_leads_anywhere_else(shop: Shop, folder: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(shop, folder=folder)
    assert list(refused.value.errors) == ["folder"]
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(ValueError, match=re.escape(folder)):
        folders.leave(source, shop.cast.organization.pk, folder, "name")
    assert list((tmp_path / "folders").iterdir()) == []


def test_no_link_is_followed(shop: Shop, tmp_path: Path) -> None:
    """Somebody who reaches the directory by other means put a link where the folder goes."""
    outside, mine = tmp_path / "outside", tmp_path / "folders" / str(shop.cast.organization.pk)
    outside.mkdir()
    mine.mkdir()
    (mine / "bills").symlink_to(outside)
    make(shop, folder="bills")
    assert run().attempts[-1]["error"] == "folder" and list(outside.iterdir()) == []


def test_without_folders_of_the_site_there_are_none(shop: Shop, settings) -> None:
    settings.EXPORTS = settings.EXPORTS | {"folders": ""}
    with pytest.raises(InvalidInput, match="invalid"):
        make(shop, folder="bills")


def test_either_an_address_or_a_folder(shop: Shop) -> None:
    for where in ({}, {"url": "https://bills.example.org/", "folder": "bills"}):
        with pytest.raises(InvalidInput) as refused:
            make(shop, **where)
        assert list(refused.value.errors) == ["url"]


def test_no_more_than_twenty(shop: Shop) -> None:
    for number in range(schedules.MOST_SCHEDULES):
        make(shop, name=f"s{number}", folder="bills")
    with pytest.raises(QuotaExceeded):
        make(shop, folder="bills")


def test_disabled_nothing_is_made_and_deleted_nothing_is_brought(shop: Shop, hooked: Receiver) -> None:
    schedule = make(shop, url=hooked.url)
    schedules.change_schedule(schedule, actor=shop.cast.alice, enabled=False)
    assert schedules.start_due(THIRD) == 0
    schedules.change_schedule(schedule, actor=shop.cast.alice, enabled=True, now=october(15))
    assert schedules.start_due(THIRD) == 1
    work()
    schedules.delete_schedule(schedule, actor=shop.cast.alice)
    due_now()
    delivery.run()
    assert hooked.seen == [] and Export.objects.get().delivery == "failed"


@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_ask_for_one_file(shop: Shop, hooked: Receiver) -> None:
    make(shop, url=hooked.url)
    assert at_once(lambda _which: schedules.start_due(THIRD), 4) == []
    assert Export.objects.count() == 1
    work()
    due_now()
    assert at_once(lambda _which: delivery.run(), 4) == []
    assert len(hooked.seen) == 1 and Export.objects.get().delivery == "delivered"
    tick()
    assert len(hooked.seen) == 1


def test_one_organization_never_holds_more_than_two_threads(shop: Shop, hooked: Receiver) -> None:
    for number in range(5):
        make(shop, name=f"warehouse {number}", url=hooked.url)
    assert schedules.start_due(THIRD) == 3  # so many are written at once
    work()
    due_now()
    assert [len(delivery.claim(8)), len(delivery.claim(6))] == [2, 0]


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_looked_before_another_took_takes_nothing(shop: Shop, hooked: Receiver, monkeypatch) -> None:
    make(shop, url=hooked.url)
    assert schedules.start_due(THIRD) == 1
    work()
    due_now()
    quick, taken = delivery.CLAIM, {}
    # It has looked, and waits, until the other one has what both saw.
    waits = "WHERE pg_advisory_lock_shared(7)::text = '' AND delivery = 'pending' AND state"
    slow = quick.replace("WHERE delivery = 'pending' AND state", waits, 1)
    assert slow != quick
    monkeypatch.setattr(delivery, "CLAIM", slow)
    other = connection.copy()
    other.inc_thread_sharing()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(7)")

        def claim(which: int) -> None:
            if which == 1:
                deadline = time.monotonic() + 20
                while not is_waiting(cursor):
                    assert time.monotonic() < deadline, "the slow one did not come to wait"
                    time.sleep(0.02)
                monkeypatch.setattr(delivery, "CLAIM", quick)
            taken[which] = len(delivery.claim(8))
            if which == 1:
                cursor.execute("SELECT pg_advisory_unlock(7)")

        assert at_once(claim, 2) == []
    other.close()
    assert taken == {0: 0, 1: 1}


def is_waiting(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7")
    return cursor.fetchone()[0] > 0


def test_who_sees_bills_sees_schedules_without_their_paths_and_who_manages_billing_makes_them(shop: Shop) -> None:
    schedule = make(shop, url="https://bills.example.org/secret-path")
    address, body = f"/api/v1/export-schedules/{schedule.pk}/", {
        "organization": str(shop.cast.organization.pk), "name": "x", "what": "usage", "format": "csv", "every": "day",
        "url": "https://x.example.org/"}
    bind(shop.cast.vera, "viewer", shop.cast.organization)  # sees invoices, and changes nothing
    for name, made, seen in (("mallory", 404, 404), ("vera", 403, 200), ("adam", 403, 404)):
        changed = 403 if seen == 200 else 404
        api, browser = shop.cast.api(name), shop.cast.browser(name)
        assert [api.get(address).status_code, api.delete(address).status_code,
                api.patch(address, {"url": "https://evil.example.org/"}, format="json").status_code] == [seen, changed, changed]
        assert b"secret-path" not in api.get(address).content
        assert api.post("/api/v1/export-schedules/", body, format="json").status_code == made
        assert b"secret-path" not in api.get("/api/v1/export-schedules/").content
        assert browser.post(reverse("export_schedules:delete", args=[schedule.pk]), {"confirmed": "1"}).status_code == changed
        for page in (reverse("export_schedules:list"), reverse("export_schedules:detail", args=[schedule.pk])):
            assert b"secret-path" not in browser.get(page).content
    assert shop.cast.browser("vera").get(reverse("exports:list")).status_code == 200
    schedule.refresh_from_db()
    assert schedule.url.endswith("secret-path")


def test_made_changed_and_deleted_by_rest(shop: Shop) -> None:
    api, body = shop.cast.api("alice"), {
        "organization": str(shop.cast.organization.pk), "name": "x", "what": "usage", "format": "csv", "every": "day",
        "url": "https://x.example.org/", "method": "PUT"}
    made = api.post("/api/v1/export-schedules/", body, format="json")
    assert made.status_code == 201 and made.json()["secret"].startswith("whsec_")
    address = f"/api/v1/export-schedules/{made.json()['id']}/"
    assert "secret" not in api.get(address).json()
    assert api.patch(address, {"url": "http://10.0.0.1/"}, format="json").status_code == 400
    assert api.patch(address, {"folder": "bills", "enabled": False}, format="json").json()["url"] == ""
    assert api.delete(address).status_code == 204 and not ExportSchedule.objects.exists()


def test_made_on_a_page_the_secret_is_shown_once(shop: Shop) -> None:
    browser = shop.cast.browser("alice")
    sent = {"organization": str(shop.cast.organization.pk), "name": "warehouse", "what": "focus", "format": "json",
            "every": "month", "method": "POST", "url": "https://bills.example.org/"}
    assert browser.get(reverse("export_schedules:create")).status_code == 200
    wrong = browser.post(reverse("export_schedules:create"), sent | {"url": "https://10.0.0.1/"})
    assert wrong.status_code == 400 and "public addresses" in wrong.content.decode()
    made = browser.post(reverse("export_schedules:create"), sent)
    schedule = ExportSchedule.objects.get()
    assert schedule.secret in made.content.decode() and made["Cache-Control"] == "no-store"
    assert schedule.secret not in browser.get(reverse("export_schedules:detail", args=[schedule.pk])).content.decode()
    assert "warehouse" in browser.get(reverse("export_schedules:list")).content.decode()
    for verb, state in (("disable", "disabled"), ("enable", "enabled")):
        browser.post(reverse(f"export_schedules:{verb}", args=[schedule.pk]))
        schedule.refresh_from_db()
        assert schedule.state == state
    browser.post(reverse("export_schedules:delete", args=[schedule.pk]), {"confirmed": "1"})
    assert not ExportSchedule.objects.exists()


def test_what_somebody_deleted_meanwhile_is_not_found(shop: Shop) -> None:
    seen = make(shop, folder="bills")
    schedules.delete_schedule(seen, actor=shop.cast.alice)
    with pytest.raises(NotFound):
        schedules.delete_schedule(seen, actor=shop.cast.alice)
    with pytest.raises(NotFound):
        schedules.change_schedule(seen, actor=shop.cast.alice, enabled=False)


def test_of_a_deleted_organization_nothing_is_brought_any_more(shop: Shop) -> None:
    make(shop, folder="bills")
    Organization.objects.filter(pk=shop.cast.organization.pk).update(deleted_at=october(20))
    assert schedules.start_due(THIRD) == 0 and not Export.objects.exists()


def test_a_schedule_that_fails_in_any_way_keeps_none_of_the_others_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, whole = make(shop, folder="bills"), make(shop, folder="bills")
    real = schedules.request_export

    def request(*arguments: object, schedule: ExportSchedule, **further: object) -> Export:
        if schedule == broken:
            raise RuntimeError("broken")
        return real(*arguments, schedule=schedule, **further)

    monkeypatch.setattr(schedules, "request_export", request)
    assert schedules.start_due(THIRD) == 1 and Export.objects.get().schedule == whole
