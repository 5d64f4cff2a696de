"""The errors that a caller may see: each is a code, an HTTP status and a sentence with facts.

Raise with facts (`QuotaExceeded(limit=10, ...)`), never with prose. They are rendered in exactly two places:
`portal.kernel.rest.problem` (RFC 9457 problem+json) and `portal.kernel.pages.ErrorMiddleware` (HTML).
No HTTP library is imported here.
"""
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from string import Formatter
from typing import ClassVar, Self

from django.utils.translation import gettext_lazy as _


class PortalError(Exception):
    """Base of all expected errors. `transient` ones are worth another try by the engine."""

    code = "error"
    status = 500
    title = _("Something went wrong")
    text = _("Something went wrong on our side. Nothing was changed.")
    brief = ""
    """Said instead where facts of the text are missing: its figures are told to whom they concern alone."""
    transient = False
    leads_to = ""
    """The name of the page where a person puts it right; browsers are led there."""

    def __init__(self, *, errors: Mapping[str, list[str]] | None = None, **facts: object) -> None:
        self.errors = dict(errors or {})
        self.facts = facts
        super().__init__(self.code)

    @property
    def detail(self) -> str:
        return self.said(self.facts) or str(self.text)

    @classmethod
    def said(cls, facts: Mapping[str, object]) -> str:
        """The sentence with these facts; empty where they do not suffice for one."""
        for text in (cls.text, cls.brief):
            with suppress(KeyError, IndexError, ValueError):
                return str(text).format(**facts)
        return ""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def as_row(self) -> dict[str, object]:
        """What an operation stores: the code and plain facts, so that the text follows the reader's language."""
        facts = {name: value if isinstance(value, (int, bool, type(None))) else str(value)
                 for name, value in self.facts.items()}
        return {"code": self.code, "detail": self.detail, "facts": facts}

    def for_everybody(self) -> Self:
        """The same for readers that nobody knows yet: with the facts that its brief sentence names, where it has one."""
        if not self.brief:
            return self
        named = {name for _text, name, *_how in Formatter().parse(str(self.brief)) if name}
        return type(self)(errors=self.errors, **{name: value for name, value in self.facts.items() if name in named})


class InvalidInput(PortalError):
    """The request cannot be understood or breaks a rule; `errors` names the fields."""

    code, status = "invalid", 400
    title = _("Invalid input")
    text = _("Please correct the fields named below.")

    @classmethod
    def field(cls, name: str, message: str, **facts: object) -> "InvalidInput":
        return cls(errors={name: [message]}, **facts)


class NotSignedIn(PortalError):
    code, status = "not_authenticated", 401
    title = _("Sign in first")
    text = _("This needs a signed-in user or a valid API key.")


class PaymentRequired(PortalError):
    code, status = "no_credit", 402
    title = _("No credit")
    text = _("{organization} has {left} {currency} of credit left; what runs costs {running} {currency} an hour, and this would "
             "cost {hourly} {currency} more. What runs goes on. Ask your operator for more credit.")
    brief = _("{organization} has too little credit left for this. What runs goes on. Ask whoever looks after its costs.")


class PrepaidUsedUp(PaymentRequired):
    """As above, of an organization that pays in advance."""

    text = _("{organization} has {left} {currency} left of what it paid in advance; what runs costs {running} {currency} an "
             "hour, and this would cost {hourly} {currency} more. Top up first.")
    brief = _("Too little is left of what {organization} paid in advance. Ask whoever looks after its costs to top up.")


class Unpaid(PortalError):
    """Bills are due for so long that nothing new starts."""

    code, status = "unpaid", 402
    title = _("Payment is due")
    text = _("{organization} has not paid what is due since {since}: nothing new is made or started. Once it is paid, this works "
             "again at once.")


class Forbidden(PortalError):
    """The caller sees the object but may not do this to it."""

    code, status = "forbidden", 403
    title = _("Not allowed")
    text = _("Your role does not include “{permission}” here. Ask an administrator of the project.")

    subject: object = None
    """What was refused; the audit row of the refusal points at it."""
    of: ClassVar[str] = ""
    """What may be refused so, beside the operations that declare it: `all` of the API's, or all `changes`."""

    def about(self, subject: object) -> "Forbidden":
        self.subject = subject
        return self


class NotFound(PortalError):
    """Absent or hidden: deliberately the same answer."""

    code, status = "not_found", 404
    title = _("Not found")
    text = _("There is no such object, or you may not see it.")


class WrongMethod(PortalError):
    """A browser asks for the address of a button, after signing in again or from its history."""

    code, status = "method_not_allowed", 405
    title = _("Nothing was done")
    text = _("This is the address of a button, not of a page. Go back, and press the button again.")


class StateConflict(PortalError):
    """The object is not in a state that allows this."""

    code, status = "state_conflict", 409
    title = _("Not possible now")
    text = _("This is not possible while the state is “{state}”.")


class Busy(PortalError):
    """Another live operation holds the resource."""

    code, status = "busy", 409
    title = _("Busy")
    text = _("Another operation ({holder_kind}) is working on this. Wait until it has finished.")


class Locked(PortalError):
    """Somebody locked it, or what it belongs to: nothing is done to it until it is unlocked."""

    code, status = "locked", 409
    title = _("Locked")
    text = _("“{name}” was locked by {by} ({at}): {reason}. Unlock it first.")


class QuotaExceeded(PortalError):
    code, status = "quota_exceeded", 409
    title = _("Quota exceeded")
    text = _("The quota of {scope} for {resource} is {limit}; {used} are used and {wanted} more are wanted.")


class NoCapacity(PortalError):
    """No host can take it now."""

    code, status = "no_capacity", 409
    title = _("No capacity")
    text = _("No host has room for this now. Try a smaller type, another zone, or later.")


class Stale(PortalError):
    """If-Match named another version."""

    code, status = "stale", 412
    title = _("Changed meanwhile")
    text = _("Somebody changed this meanwhile. Load it again.")


class KeyReused(PortalError):
    code, status = "idempotency_key_reused", 422
    title = _("Idempotency key reused")
    text = _("This Idempotency-Key was used with another body.")


class TooManyRequests(PortalError):
    code, status = "rate_limited", 429
    title = _("Too many requests")
    text = _("Too many requests. Try again in {retry_after} seconds.")


class HostFault(PortalError):
    """A host, its storage or its hypervisor did not do what was asked. Raised by drivers."""

    code, status = "host_fault", 502
    title = _("The host reported a fault")
    text = _("The host reported a fault: {reason}")

    def __init__(self, reason: str, *, transient: bool = False, **facts: object) -> None:
        self.transient = transient
        super().__init__(reason=reason, **facts)


class HostUnreachable(HostFault):
    code, status = "host_unreachable", 503
    title = _("The host does not answer")
    text = _("The host does not answer: {reason}")

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason, transient=True, **facts)


class StaleGeneration(HostFault):
    """The host already runs a newer generation: this actor lost its right to act."""

    code = "stale_generation"
    text = _("The host knows a newer generation: {reason}")


class DeadlineExceeded(PortalError):
    code, status = "deadline_exceeded", 504
    title = _("Took too long")
    text = _("This took longer than allowed and was undone.")


class OtherVersion(PortalError):
    """An operation was accepted by a version of the code whose steps this one does not have."""

    code, status = "other_version", 409
    title = _("Begun by another version")
    text = _("This operation was begun by another version of Mains, and this one does not know its steps: {steps}. Nothing was "
             "touched and it waits. An operator brings back that version, or a later one that knows them.")


class Cancelled(PortalError):
    code, status = "cancelled", 409
    title = _("Cancelled")
    text = _("Cancelled on request; what was done so far has been undone.")


@cache
def classes_by_code() -> dict[str, type[PortalError]]:
    """Every error that a stored row may name. Not to be asked before all rooms are loaded."""
    found: dict[str, type[PortalError]] = {}
    queue = [PortalError]
    while queue:
        one = queue.pop()
        found.setdefault(one.code, one)
        queue += one.__subclasses__()
    return found
