"""Verbs on many rows of a list: each row is admitted by itself, and the answer says of each what became of it.

One address per verb, `<list>/bulk/<verb>/`, that declares the verb's permission: who holds it nowhere is refused as a
whole; a row where it is not held is refused alone; what is hidden answers as what is absent.
"""
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from portal.kernel.errors import Forbidden, InvalidInput, NotFound, PortalError
from portal.kernel.models import Operation
from portal.kernel.pages import is_fragment, note_refusal
from tenants.access import require
from tenants.pages import STAFF, page

if TYPE_CHECKING:
    from tenants.lists import Listing

MOST_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class BulkVerb:
    """What can be done to many rows. `act(row, user)` does it to one and gives its operation, if it takes a while.

    `effect` is the sentence that is confirmed; without it nothing is asked. A bad one takes something away; a dangerous
    one does so for ever, and wants the count typed.
    `why_not(row)` says before anything is done that a row will be refused.
    """

    name: str
    label: Any
    icon: str
    permission: str
    act: Callable[[Any, Any], Operation | None]
    effect: Any = ""
    is_bad: bool = False
    is_dangerous: bool = False
    why_not: Callable[[Any], Any] = lambda row: ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one row, or will."""

    name: str
    error: PortalError | None = None
    why_not: str = ""
    operation: Operation | None = None

    @property
    def is_accepted(self) -> bool:
        return self.error is None and not self.why_not


def bulk_paths(listing: type["Listing"], prefix: str = "") -> list[URLPattern]:
    """The addresses of a list's verbs; `prefix` is the list's own path within its namespace."""
    return [path(f"{prefix}bulk/{verb.name}/", _view(listing, verb), name=f"bulk-{verb.name}") for verb in listing.verbs]


def _view(listing: type["Listing"], verb: BulkVerb) -> Callable[..., HttpResponse]:
    @page(verb.permission, methods=("POST",))
    def act(request: HttpRequest) -> HttpResponse:
        found = listing(request)
        wanted = _wanted(request)
        rows = {str(row.pk): row for row in found.rows().filter(pk__in=wanted)}
        chosen = [(pk, rows.get(pk)) for pk in wanted]
        if not verb.effect or _is_confirmed(request, verb, len(wanted)):
            outcomes = [_do(request, found, verb, pk, row) for pk, row in chosen]
            return _show(request, found, verb, outcomes, is_done=True)
        outcomes = [_foreseen(request, found, verb, pk, row) for pk, row in chosen]
        error = _("Type %(count)s.") % {"count": len(wanted)} if "confirmed" in request.POST else ""
        return _show(request, found, verb, outcomes, ids=wanted, error=error)

    return act


def _wanted(request: HttpRequest) -> list[str]:
    """The ids in the order of the page, each once. Raises InvalidInput when there are none, too many, or no ids at all."""
    try:
        found = list(dict.fromkeys(str(UUID(text)) for text in request.POST.getlist("id")))
    except ValueError as error:
        raise InvalidInput.field("id", _("Not a valid value.")) from error
    if not found:
        raise InvalidInput.field("id", _("Select at least one row."))
    if len(found) > MOST_AT_ONCE:
        raise InvalidInput.field("id", _("At most {most} at once.").format(most=MOST_AT_ONCE))
    return found


def _is_confirmed(request: HttpRequest, verb: BulkVerb, count: int) -> bool:
    typed = request.POST.get("typed_count", "").strip()
    return "confirmed" in request.POST and (not verb.is_dangerous or typed == str(count))


def _foreseen(request: HttpRequest, listing: "Listing", verb: BulkVerb, pk: str, row: Any) -> Outcome:
    try:
        _admit(request, verb, row)
    except PortalError as error:
        return Outcome(name=listing.name_of(row) if row else pk, error=error)
    return Outcome(name=listing.name_of(row), why_not=str(verb.why_not(row)))


def _do(request: HttpRequest, listing: "Listing", verb: BulkVerb, pk: str, row: Any) -> Outcome:
    name = listing.name_of(row) if row else pk
    try:
        _admit(request, verb, row)
        with transaction.atomic():
            return Outcome(name=name, operation=verb.act(row, request.user))
    except PortalError as error:
        if isinstance(error, Forbidden):
            note_refusal(request, error)
        return Outcome(name=name, error=error)


def _admit(request: HttpRequest, verb: BulkVerb, row: Any) -> None:
    if row is None:
        raise NotFound
    if verb.permission != STAFF:
        require(request.user, verb.permission, row)


def _show(request: HttpRequest, listing: "Listing", verb: BulkVerb, outcomes: Iterable[Outcome], *, is_done: bool = False,
          ids: Iterable[str] = (), error: str = "") -> HttpResponse:
    """The question or the answer: in a dialog where there is a script, else as a page."""
    outcomes = list(outcomes)
    context = {"list": listing, "verb": verb, "outcomes": outcomes, "is_done": is_done, "ids": ids, "error": error,
               "action": request.path, "accepted": sum(outcome.is_accepted for outcome in outcomes),
               "total": len(outcomes)}
    template = "lists/_bulk.html" if is_fragment(request) else "lists/bulk.html"
    response = render(request, template, context, status=400 if error and not is_fragment(request) else 200)
    if is_done:
        response["HX-Trigger"] = "mains:changed"
    return response
