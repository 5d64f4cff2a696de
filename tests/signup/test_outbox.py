"""Mails of a portal without a mail server: operators read them, as text and nothing else."""
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, send_mail
from django.urls import reverse

from portal import env, outbox
from tests.world import World

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_a_mail_is_a_file_that_only_its_owner_reads(door: World, settings) -> None:
    send_mail("Hello", "First line\nhttps://example.org/x", None, ["ada@example.org"])
    [path] = Path(settings.EMAIL_FILE_PATH).iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    [mail] = outbox.mails()
    assert (mail.to, mail.subject, mail.text.split()[0]) == ("ada@example.org", "Hello", "First")


def test_it_is_shown_as_text_whatever_it_carries(door: World, browser) -> None:
    mail = EmailMultiAlternatives(EVIL, EVIL, None, ["ada@example.org"])
    mail.attach_alternative(f"<b>{EVIL}</b>", "text/html")
    mail.send()
    only_html = EmailMultiAlternatives("Only HTML", "", None, ["ada@example.org"])
    only_html.content_subtype, only_html.body = "html", EVIL
    only_html.send()
    for one in outbox.mails():
        page = browser("root").get(reverse("outbox:list"), {"mail": one.id}).content.decode()
        assert "<script>alert" not in page and "<img src=x" not in page and "&lt;script&gt;alert" in page


def test_a_file_that_is_no_mail_does_no_harm(door: World, browser, settings) -> None:
    folder = Path(settings.EMAIL_FILE_PATH)
    folder.mkdir()
    (folder / "odd.eml").write_bytes(b"\xff\xfe\0 nonsense\nContent-Type: text/plain; charset=klingon\n\n\xff")
    (folder / "worse.eml").write_bytes(b"Content-Type: text/plain; charset=klingon\n\n\xff")
    broken = "=?utf-8?b?YWRhCkBleGFtcGxlLm9yZw==?="  # an address with a line's end in it, which no parser takes
    (folder / "broken.eml").write_bytes(f"To: {broken}\nSubject: {broken}\n\nhello".encode())
    page = browser("root").get(reverse("outbox:list"), {"mail": "broken"})
    assert page.status_code == 200 and "hello" in page.content.decode()
    assert all("\n" not in mail.to + mail.subject for mail in outbox.mails())


def test_only_operators_read_it(door: World, browser) -> None:
    assert browser("alice").get(reverse("outbox:list")).status_code == 404
    assert browser("root").get(reverse("outbox:list"), {"mail": "../../etc/passwd"}).status_code == 200


@pytest.mark.parametrize(("url", "expected"), [
    ("smtp://ada:p%40ss@mail.example.org:587?tls=1", ("mail.example.org", 587, "ada", "p@ss", True, False)),
    ("smtps://mail.example.org", ("mail.example.org", 465, "", "", False, True))])
def test_a_mail_server_comes_from_the_environment(url: str, expected: tuple) -> None:
    found = env.mail_server(url)
    names = ("HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL")
    assert tuple(found[f"EMAIL_{name}"] for name in names) == expected


@pytest.mark.parametrize("url", ["http://example.org", "smtp://", "smtp://host:port"])
def test_nonsense_stops_the_start(url: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        env.mail_server(url)
