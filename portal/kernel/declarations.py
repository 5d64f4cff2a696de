"""What rooms declare and the kernel works on: resource kinds, permissions, quota dimensions, meters, hooks.

A room declares in its `apps.py: ready()` or beside its models; this module knows no room. A new kind, verb, meter or
dimension is one declaration. Declaring a name twice is a programmer's error.
"""
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class ResourceKind:
    """A kind of tenant-owned thing. `page` and `api` are URL names taking the id; `permission` is what reading needs."""

    name: str
    label: Any
    label_plural: Any
    page: str | None = None
    api: str | None = None
    permission: str
    icon: str = "box"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A named right, and the built-in roles that include it."""

    name: str
    label: Any
    roles: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class QuotaDimension:
    """Something of which projects have so much: the sum over the rows that count, by project and region."""

    name: str
    label: Any
    unit: Any = ""
    rows: Callable[[], Any]
    """The queryset of all rows that count."""
    amount: str = ""
    """The field that is summed; without one, rows are counted."""
    owner: str = ""
    """The field of the resource that has project and region, where the rows are parts of it."""
    regional: bool = True
    """False: the rows are of no region, and are counted once for all of them; its limits have none either."""


DURATION, COUNTER = "duration", "counter"


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Something billed: by DURATION, quantity × seconds, priced per `price_unit` (an hour of one unit); or what a COUNTER
    that only grows has counted, in whole `unit`s (bytes), priced per `price_unit` (GB), which is `size` of them."""

    name: str
    label: Any
    unit: str
    price_unit: Any
    kind: str = DURATION
    size: int = 1
    """A power of ten, so that amounts are exact."""
    service: str = ""
    """What FOCUS calls the service, in English; without one the meter's name."""
    category: str = "Other"
    """One of FOCUS' service categories: Compute, Storage, Networking …"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a resource takes from now on: so many units of a meter, at the price of `sku`."""

    meter: str
    sku: str
    quantity: Decimal


@dataclass(frozen=True, kw_only=True)
class IdleRule:
    """Something that costs and serves nobody: the page of costs lists what it finds, with what it costs a month."""

    name: str
    label: Any
    """In which way it is idle: "Not attached"."""
    hint: Any
    """What one may do about it."""
    rows: Callable[[datetime], Any]
    """(now) → queryset of live resources with a state that are idle then, whoever has them."""
    parts: Callable[[Any], Mapping[Any, Any]] | None = None
    """(ids) → id of what is paid only for their sake → id of which of them."""


@dataclass(frozen=True, kw_only=True)
class SkuRule:
    """SKUs that not everybody may know of: list prices do not name them to who may not."""

    name: str
    meters: tuple[str, ...]
    """Those at which a SKU is the name of such a thing."""
    hidden: Callable[[Any], Any]
    """(user) → queryset of the SKUs, one column, that are absent to the user."""


@dataclass(frozen=True, kw_only=True)
class NoticeKind:
    """Something that people are told of: in the bell where it `rings`, and by mail as each chooses, unless it `is_fixed`.

    It happens when somebody does one of `acts`, or an operation ends in one of `endings`; `receivers` says who would hear
    of it, in the transaction of the change, and `may_hear` whether one still may when the mail is written, which is later.
    """

    name: str
    label: Any
    hint: Any = ""
    acts: Mapping[str, Any] = field(default_factory=dict)
    """act of the audit trail → the sentence; it may name %(actor)s, %(place)s, %(target)s, %(role)s and %(reason)s, and what
    `words` says."""
    keeps: tuple[str, ...] = ()
    """Names of what the event says that a notice keeps for `words`."""
    words: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None
    """(the notice's facts) → further names for the sentence, in the language of whoever reads."""
    endings: frozenset[str] = frozenset()
    receivers: Callable[[Any], Any]
    """(audit event or operation) → queryset of users."""
    may_hear: Callable[[Any, Any], bool]
    """(user, notice) → whether it is told."""
    mail: str = "never"
    """now, daily or never, where nobody chose."""
    rings: bool = False
    is_fixed: bool = False
    page: str = ""
    """URL name of the page to look at, without arguments."""
    target_page: str = ""
    """URL name of the page of what it happened to, by its id."""


@dataclass(frozen=True, kw_only=True)
class StoppingHook:
    """How a room stops what runs, when rooms to the left ask for it."""

    stop: Callable[[Any, str], None]
    """(queryset of resources, why): what runs among them is to be stopped, as far as it can be now; asked again and again."""
    permission: str
    """With which a person does it; who asks for it needs that."""


MoveHook = Callable[[Any, str, str, datetime], None]
"""(row, old state, new state, when): called by `Stateful.move_to` in its transaction."""

ProjectHook = Callable[[Any, Any], None]
"""(project, actor): called in the transaction that makes it, where rooms give it what every project has; or in the one
that deletes it, where they take that away again as far as nothing uses it."""

OrganizationHook = Callable[[Any, Any], None]
"""(organization, actor): called in the transaction that deletes it, whose projects are gone."""

SuspensionHook = Callable[[], None]
"""An organization was suspended, and this is committed: rooms do what its policy asks."""

ResumptionHook = Callable[[UUID, datetime], None]
"""Of which organization that may act again, suspended since when; in the transaction that says so."""

UnpaidHook = Callable[[Any, str], None]
"""(organization, rung): it does not pay, and stands on a rung (`stopped`, `recycled`) where what runs is to be stopped; called
after the commit that says so, and again while it stands there: rooms do what that means to them, as far as it is not done."""

TakingHook = Callable[[Any, Any, dict[str, int]], None]
"""(project, region or None, wanted): something new is about to be taken, and there is room in every quota; called in the
transaction that takes it, its organization being held. Raises to refuse."""

ComingHook = Callable[[Any], list[tuple[Any, Any, tuple[Reading, ...]]]]
"""(organization): what is about to run there, and is not metered as such yet: (resource id, region, readings) of each."""

SettleHook = Callable[[Any], None]
"""(operation): called in the transaction that settles it, its state being the last one."""

SessionHook = Callable[[Any, dict[str, Any]], Any]
"""(user, what the session holds) → the user as whom its websockets are served."""

ChangeGuard = Callable[[Collection[UUID], bool, bool], Mapping[UUID, Exception]]
"""(ids of what things belong to, whether a part of them would be deleted, whether they are held until the end of the
transaction): what keeps people from that, of those that are kept (see `portal.kernel.guards`)."""

AuditHook = Callable[[Any], None]
"""(audit event): called in the transaction that writes it."""


@dataclass
class Registry:
    """All declarations of the process."""

    kinds: dict[str, ResourceKind] = field(default_factory=dict)
    permissions: dict[str, Permission] = field(default_factory=dict)
    dimensions: dict[str, QuotaDimension] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    notices: dict[str, NoticeKind] = field(default_factory=dict)
    idle_rules: dict[str, IdleRule] = field(default_factory=dict)
    sku_rules: dict[str, SkuRule] = field(default_factory=dict)
    move_hooks: list[MoveHook] = field(default_factory=list)
    project_hooks: list[ProjectHook] = field(default_factory=list)
    taking_hooks: list[TakingHook] = field(default_factory=list)
    coming_hooks: list[ComingHook] = field(default_factory=list)
    stopping_hooks: list[StoppingHook] = field(default_factory=list)
    settle_hooks: list[SettleHook] = field(default_factory=list)
    audit_hooks: list[AuditHook] = field(default_factory=list)
    project_end_hooks: list[ProjectHook] = field(default_factory=list)
    organization_end_hooks: list[OrganizationHook] = field(default_factory=list)
    suspension_hooks: list[SuspensionHook] = field(default_factory=list)
    resumption_hooks: list[ResumptionHook] = field(default_factory=list)
    unpaid_hooks: list[UnpaidHook] = field(default_factory=list)
    session_hooks: list[SessionHook] = field(default_factory=list)
    change_guards: list[ChangeGuard] = field(default_factory=list)

    def add(self, *declared: ResourceKind | Permission | QuotaDimension | Meter | NoticeKind | IdleRule | SkuRule) -> None:
        for one in declared:
            table = {ResourceKind: self.kinds, Permission: self.permissions, QuotaDimension: self.dimensions,
                     Meter: self.meters, NoticeKind: self.notices, IdleRule: self.idle_rules,
                     SkuRule: self.sku_rules}[type(one)]
            if table.setdefault(one.name, one) != one:
                raise ValueError(f"{one.name} is declared twice")


registry = Registry()
ROLES = ("owner", "admin", "operator", "viewer", "billing")
ACCOUNTANTS = frozenset(ROLES)
# Everybody who looks at resources; whoever only pays for them sees projects and money, and nothing else.
EVERYBODY = ACCOUNTANTS - {"billing"}
OPERATORS = frozenset({"owner", "admin", "operator"})
ADMINS = frozenset({"owner", "admin"})
OWNERS = frozenset({"owner"})
