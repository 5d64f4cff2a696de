"""What a mail says: one line for each notice, in the language of whoever reads it, as text and as HTML.

Names that tenants gave are looked up now, lose line ends, and stay text: in the subject, in the text, and in HTML, where the
template escapes them. Everything that is told here is checked once more: an address that was proved, a person who is active
and who still may hear it.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from portal.kernel import posting
from portal.kernel.declarations import NoticeKind, registry
from portal.kernel.posting import clipped, on_one_line
from portal.notices.models import Letter, Notice
from portal.notices.preferences import unsubscribe_token
from portal.templatetags.ui import error_text, kind_label
from tenants.access import Grants
from tenants.invitations import role_label
from tenants.models import Organization, User

LONGEST_LINE, LONGEST_SUBJECT = 400, 150


@dataclass(frozen=True, kw_only=True)
class Line:
    """One notice as it is read."""

    text: str
    at: datetime
    url: str


def address_of(user: User) -> str | None:
    """Where the person proved that they read mail."""
    rows = EmailAddress.objects.filter(user=user, verified=True).order_by("-primary", "pk")
    return rows.values_list("email", flat=True).first() if user.is_active else None


def hearable(user: User, notices: Iterable[Notice]) -> list[Notice]:
    """Those that the person may still hear, by the rights of now."""
    user.grants = Grants.of_user(user)
    return [notice for notice in notices
            if (kind := registry.notices.get(notice.kind)) is not None and kind.may_hear(user, notice)]


def message(letter: Letter, user: User, to: str, notices: list[Notice], connection: BaseEmailBackend) -> EmailMultiAlternatives:
    """The mail; the same Message-ID whenever it is sent, by which a doubled one is known."""
    with translation.override(user.language or settings.LANGUAGE_CODE):
        lines = [_line(notice) for notice in notices]
        subject = lines[0].text if len(lines) == 1 else _("%(count)s notifications") % {"count": len(lines)}
        open_kinds = sorted({notice.kind for notice in notices if not registry.notices[notice.kind].is_fixed})
        leave = _link("notifications:unsubscribe", {"token": unsubscribe_token(user.pk, open_kinds)}) if open_kinds else ""
        shown = {"lines": lines, "leave": leave, "settings_url": _link("profile:notifications"), "site_url": settings.SITE_URL,
                 "language": translation.get_language()}
        text = render_to_string("notices/mail/letter.txt", shown)
        mail = EmailMultiAlternatives(f"[Mains] {clipped(subject, LONGEST_SUBJECT)}", text, to=[to], connection=connection,
                                      headers=_headers(letter, leave))
        mail.attach_alternative(render_to_string("notices/mail/letter.html", shown), "text/html")
    return mail


def _headers(letter: Letter, leave: str) -> dict[str, str]:
    """By RFC 8058 mail programs offer one press to get no more of these."""
    found = posting.headers("notice", letter)
    if leave:
        found |= {"List-Unsubscribe": f"<{leave}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return found


def _line(notice: Notice) -> Line:
    kind = registry.notices[notice.kind]
    if operation := notice.facts.get("operation"):
        return Line(text=_ended(operation, notice), at=notice.at, url=_link("operations:detail", pk=notice.event_id))
    names = {"actor": _actor(notice), "place": _place(notice), "target": on_one_line(notice.facts.get("target")),
             "role": _role(notice), "reason": on_one_line(notice.facts.get("reason")),
             **(kind.words(notice.facts) if kind.words else {})}
    text = clipped(str(kind.acts[notice.act]) % names, LONGEST_LINE)
    return Line(text=text, at=notice.at, url=_page(kind, notice))


def _page(kind: NoticeKind, notice: Notice) -> str:
    target = notice.facts.get("target_id")
    if kind.target_page and target:
        return _link(kind.target_page, pk=target)
    return _link(kind.page) if kind.page else ""


def _ended(operation: str, notice: Notice) -> str:
    words = {"succeeded": _("%(what)s: succeeded"), "failed": _("%(what)s: failed"), "cancelled": _("%(what)s: cancelled")}
    target, place = on_one_line(notice.facts.get("target")), _place(notice)
    what = " · ".join(part for part in (kind_label(operation), target, place) if part)
    said = words[notice.facts["state"]] % {"what": what}
    why = error_text(notice.facts.get("error"))
    return clipped(f"{said}. {why}" if why else f"{said}.", LONGEST_LINE)


def _actor(notice: Notice) -> str:
    return on_one_line(notice.actor.get_full_name() or notice.actor.username) if notice.actor else _("the portal")


def _place(notice: Notice) -> str:
    parts = (notice.organization and notice.organization.name, notice.project and notice.project.name)
    return " / ".join(on_one_line(part) for part in parts if part)


def _role(notice: Notice) -> str:
    role = notice.facts.get("role")
    return on_one_line(role_label(role, notice.organization or Organization())) if role else ""


def _link(name: str, query: dict[str, str] | None = None, **path: Any) -> str:
    return settings.SITE_URL + reverse(name, kwargs=path or None) + (f"?{urlencode(query)}" if query else "")
