"""Bills by mail: what is issued goes out once, with its PDF, to whoever the profile names, whatever is killed meanwhile."""
import re
from datetime import timedelta
from decimal import Decimal
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.db.models import F

from billing import mailing, outbox, payments, profiles
from billing.models import Invoice, InvoiceMail
from portal.kernel import crash, posting
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from portal.notices import preferences
from portal.notices.models import Notice
from portal.upkeep import retention
from tenants.models import Organization
from tenants.roles import bind
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import Shop
from tests.billing.months import close, october
from tests.billing.races import at_once
from tests.cast import Cast
from tests.walk.hostile import CANARY

ADDRESS = "bills@acme.example"


@pytest.fixture
def october_used(shop: Shop) -> Shop:
    """A lamp burnt for a day, and the organization says where its bills go."""
    shop.burnt(shop.lamp(), october(3), october(4))
    profiles.set_profile(shop.cast.organization, email=ADDRESS, actor=shop.cast.alice)
    return shop


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    """10.00."""
    profiles.set_profile(cast.organization, email=ADDRESS, actor=cast.alice)
    return bills.invoice(cast.organization, Used(project=cast.project, region=cast.region, price_per_hour=Decimal(10)),
                         number="INV-7")


def sent() -> list[Any]:
    mailing.run()
    return mail.outbox


def test_an_invoice_goes_out_with_its_pdf_once(october_used: Shop) -> None:
    [invoice] = close(october_used)
    [message] = sent()
    assert message.to == [ADDRESS] and message.subject == f"[Mains] Invoice {invoice.number} over {invoice.total} CNY"
    [(name, content, kind)] = message.attachments
    assert (name, kind, content[:4]) == (f"{invoice.number}.pdf", "application/pdf", b"%PDF")
    assert f"/invoices/{invoice.pk}/" in message.body and "Auto-Submitted" in message.message()
    assert InvoiceMail.objects.get().state == "sent"
    close(october_used)
    assert len(sent()) == 1, "closing again issues nothing, and mails nothing"


def test_a_credit_note_goes_out_too_in_the_readers_language(october_used: Shop) -> None:
    profiles.set_profile(october_used.cast.organization, language="zh-hans", actor=october_used.cast.alice)
    [invoice] = close(october_used)
    note = payments.credit_note(invoice, amount=Decimal("1.00"), reason="We were down", actor=october_used.cast.root)
    first, second = sent()
    assert note.number in second.subject and "We were down" in second.body and 'lang="zh-hans"' in second.alternatives[0][0]
    assert "Hello" not in first.body


@pytest.mark.parametrize("said", [{"email": ""}, {"sends_mail": False}])
def test_whoever_names_no_address_or_wants_none_gets_none(october_used: Shop, said: dict[str, Any]) -> None:
    profiles.set_profile(october_used.cast.organization, **said, actor=october_used.cast.alice)
    assert close(october_used) and sent() == [] and not InvoiceMail.objects.exists()


def test_what_was_not_issued_is_not_mailed(october_used: Shop) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        close(october_used)
        raise RuntimeError
    assert sent() == [] and not Invoice.objects.exists()


def test_what_tenants_wrote_is_text_and_no_header(october_used: Shop) -> None:
    Organization.objects.filter(pk=october_used.cast.organization.pk).update(name=f"x\r\nBcc: all@example.org\n\n{CANARY}"[:100])
    [invoice] = close(october_used)
    note = payments.credit_note(invoice, amount=Decimal("1.00"), reason=f"{CANARY}"[:200], actor=october_used.cast.root)
    assert note.reason
    for message in sent():
        head, html = message.message(), message.alternatives[0][0]
        assert not {"Bcc", "X-Evil"} & set(head.keys()) and message.recipients() == [ADDRESS]
        assert "<img" not in html and "<script" not in html and not re.search(r"^Bcc:", message.body, re.M)


class Broken(EmailBackend):
    """A mail server that says no so many times."""

    faults: list[Exception] = []

    def send_messages(self, messages: Any) -> int:
        if self.faults:
            raise self.faults.pop()
        return super().send_messages(messages)


def test_what_the_mail_server_does_not_take_is_tried_again_and_given_up_in_the_end(october_used: Shop, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    close(october_used)
    Broken.faults = [SMTPServerDisconnected("gone")]
    assert sent() == []
    found = InvoiceMail.objects.get()
    assert (found.state, found.tries, found.error) == ("pending", 1, "SMTPServerDisconnected")
    assert sent() == [], "not before its time"
    for _time in range(len(posting.BACKOFF_S)):
        Broken.faults = [OSError()]
        InvoiceMail.objects.update(next_at=F("next_at") - timedelta(days=2))
        assert sent() == []
    assert InvoiceMail.objects.get().state == "failed"
    Broken.faults = []
    outbox.send_again(Invoice.objects.get(), actor=october_used.cast.alice)
    assert len(sent()) == 1


@pytest.mark.parametrize("point", ["claimed bills", "sent a bill"])
def test_a_worker_killed_anywhere_loses_no_mail(october_used: Shop, point: str) -> None:
    close(october_used)

    def die(what: str) -> None:
        if what == point:
            raise KeyboardInterrupt

    crash.arm(die)
    try:
        with pytest.raises(KeyboardInterrupt):
            mailing.run()
    finally:
        crash.arm(None)
    before = len(mail.outbox)
    assert before == (point == "sent a bill") and len(sent()) == before, "leased"
    InvoiceMail.objects.update(lease_until=F("lease_until") - timedelta(minutes=5))
    assert len(sent()) == before + 1 and InvoiceMail.objects.get().state == "sent"
    assert len({message.message()["Message-ID"] for message in mail.outbox}) == 1, "a doubled one is known by its id"


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_once_each_mail_is_sent_by_one(bill: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    now = database_now()
    InvoiceMail.objects.bulk_create(InvoiceMail(invoice=bill, address=f"{number}@acme.example", next_at=now, created_at=now)
                                    for number in range(12))
    monkeypatch.setattr(mailing, "invoice_pdf", lambda _invoice: b"%PDF")
    monkeypatch.setattr(posting, "AT_ONCE", 2)
    assert at_once(lambda _worker: mailing.run(), 4) == []
    assert sorted(message.to[0] for message in mail.outbox) == sorted(f"{number}@acme.example" for number in range(12))
    assert set(InvoiceMail.objects.values_list("state", "tries")) == {("sent", 1)}


def test_who_lost_its_lease_says_nothing_of_a_mail_any_more(bill: Invoice) -> None:
    outbox.send_again(bill, actor=None)
    [slow] = mailing.claim()
    InvoiceMail.objects.update(lease_until=F("lease_until") - timedelta(minutes=5))
    assert len(sent()) == 1
    assert mailing.settle(slow, "failed", "late") is False and InvoiceMail.objects.get().state == "sent"


def test_mails_are_forgotten_after_a_year_and_bills_are_not(bill: Invoice) -> None:
    for days in (500, 300):
        outbox.send_again(bill, actor=None)
        sent()
        InvoiceMail.objects.filter(created_at__gt=F("finished_at") - timedelta(days=1)).update(
            finished_at=F("finished_at") - timedelta(days=days), created_at=F("created_at") - timedelta(days=days))
    outbox.send_again(bill, actor=None)
    InvoiceMail.objects.filter(state="pending").update(created_at=F("created_at") - timedelta(days=1000))
    assert retention.prune()["invoice_mails"] == 1
    assert sorted(InvoiceMail.objects.values_list("state", flat=True)) == ["pending", "sent"] and Invoice.objects.exists()


def test_it_is_sent_again_from_its_page_so_many_times_a_day(cast: Cast, bill: Invoice) -> None:
    browser, page = cast.browser("alice"), f"/invoices/{bill.pk}/"
    assert "Send by mail" in browser.get(page).content.decode()
    for number in range(outbox.MOST_A_DAY):
        assert browser.post(f"{page}send/").status_code == 302
        assert browser.post(f"{page}send/").status_code == 409, "one is on its way"
        assert len(sent()) == number + 1
    assert browser.post(f"{page}send/").status_code == 409
    shown = browser.get(page).content.decode()
    assert ADDRESS in shown and "Send again" in shown
    assert AuditEvent.objects.filter(action="invoice.send", actor=cast.alice).count() == outbox.MOST_A_DAY


def test_without_an_address_there_is_nothing_to_send_to(cast: Cast, bill: Invoice) -> None:
    profiles.set_profile(cast.organization, email="", actor=cast.alice)
    with pytest.raises(outbox.NotMailed, match="e-mail"):
        outbox.send_again(bill, actor=cast.alice)


def test_who_only_sees_bills_does_not_have_them_sent(cast: Cast, bill: Invoice) -> None:
    bind(cast.vera, "viewer", cast.organization)
    refused = cast.browser("vera").post(f"/invoices/{bill.pk}/send/", follow=True)
    assert refused.status_code == 403, (refused.redirect_chain, InvoiceMail.objects.all())
    assert cast.browser("mallory").post(f"/invoices/{bill.pk}/send/").status_code == 404
    assert not InvoiceMail.objects.exists()


def test_members_who_see_bills_are_told_as_they_chose(october_used: Shop) -> None:
    cast = october_used.cast
    for user in (cast.alice, cast.vera):
        preferences.choose(user, mails={"invoice.issued": "now"}, actor=user)
    [invoice] = close(october_used)
    payments.credit_note(invoice, amount=Decimal("1.00"), reason="We were down", actor=cast.root)
    assert sorted(Notice.objects.values_list("user__username", "act")) == [
        ("alice", "invoice.credit_note"), ("alice", "invoice.issue")], "vera sees no bills"
