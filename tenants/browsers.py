"""Verbs on browsers' sessions: where somebody is signed in, and ending it. Requests feel it at once, open websockets in
seconds.
"""
import re

from django.db import transaction
from django.db.models import QuerySet

from portal.kernel import audit
from portal.kernel.handshake import users_of_sessions
from tenants.models import BrowserSession, User

MOST_SHOWN = 200
# The first that fits: browsers call themselves by each other's names.
BROWSERS = ((r"Edg\w*/(\d{1,4})", "Edge"), (r"OPR/(\d{1,4})", "Opera"), (r"Firefox/(\d{1,4})", "Firefox"),
            (r"Chrome/(\d{1,4})", "Chrome"), (r"Version/(\d{1,4})\S* .*Safari/", "Safari"))
SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
           ("CrOS", "ChromeOS"), ("Linux", "Linux"))


def device(agent: str) -> str:
    """“Firefox 145 · Linux”; what it calls itself where that is no browser that we know."""
    browser = next((f"{name} {found[1]}" for mark, name in BROWSERS if (found := re.search(mark, agent))), "")
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    return " · ".join(filter(None, (browser, system))) if browser else agent[:60]


def living(user: User) -> list[BrowserSession]:
    """Those with which the user is signed in now, the last seen first: a changed password has ended others that are still there.
    Three statements, however many there are."""
    rows = list(BrowserSession.objects.living().filter(user=user).order_by("-last_seen_at")[:MOST_SHOWN])
    good = users_of_sessions([row.session_key for row in rows])
    return [row for row in rows if row.session_key in good]


@transaction.atomic
def end(session: BrowserSession, *, actor: User) -> None:
    """Whoever has it is signed out; again is success."""
    if BrowserSession.objects.filter(pk=session.pk).delete()[0]:
        audit.record("session.end", session.user, actor=actor, before={
            "browser": device(session.agent), "address": session.address})


@transaction.atomic
def end_all(user: User, *, actor: User, but: str | None = None) -> int:
    """All of the user's, except the one with the key `but`; how many."""
    rows: QuerySet[BrowserSession] = BrowserSession.objects.filter(user=user).exclude(session_key=but or "")
    count = rows.delete()[0]
    if count:
        audit.record("session.end_all", user, actor=actor, before={"sessions": count})
    return count
