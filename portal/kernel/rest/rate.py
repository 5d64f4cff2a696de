"""How many requests a caller may make: fixed windows for each API key, user and address, counted in Redis.

Told on every answer by `RateLimit-Policy` and `RateLimit` (IETF draft-ietf-httpapi-ratelimit-headers). All windows of one
request are counted in one exchange, each by an INCR, so that of any number at once exactly so many pass as the limit says.

Redis is a doorbell and no truth. While it does not answer, one request in a few seconds asks it and the others do not wait:
each process counts by itself, with its share of the limit. What is used up is remembered until its window ends, so a flood costs
neither Redis nor PostgreSQL anything.
"""
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address, ip_network
from threading import Lock

import redis
import structlog
from django.conf import settings
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 0.2
ASK_AGAIN_AFTER_S = 5.0
# Of callers that this process remembers in one window; whoever comes beyond shares one allowance.
MOST_REMEMBERED = 20_000
OTHERS = "others"

# Registered by portal.health; one that grows says that limits are those of each process by itself.
UNSHARED = Counter("mains_rate_limit_unshared_total", "Requests counted without Redis, by one process alone.", registry=None)
REFUSED = Counter("mains_rate_limit_refused_total", "Requests refused for their number.", ["policy"], registry=None)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who is counted, and by which policy: the name is what clients read, `setting` where the limit stands."""

    name: str
    setting: str
    who: str

    @property
    def limit(self) -> int:
        """Requests in a window; 0: without limit."""
        return settings.API_RATE.get(self.setting, 0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """Of one policy in this window."""

    name: str
    limit: int
    remaining: int


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is left to the callers of one request. The first line is the one that clients are told of first."""

    lines: tuple[Line, ...]
    window_s: int
    resets_in_s: int

    @property
    def is_used_up(self) -> bool:
        return any(line.remaining < 0 for line in self.lines)

    def headers(self) -> dict[str, str]:
        return {"RateLimit-Policy": ", ".join(f'"{line.name}";q={line.limit};w={self.window_s}' for line in self.lines),
                "RateLimit": ", ".join(f'"{line.name}";r={max(0, line.remaining)};t={self.resets_in_s}' for line in self.lines)}


def of_key(pk: object) -> Caller:
    return Caller(name="default", setting="requests", who=f"key:{pk}")


def of_session(who: str) -> Caller:
    return Caller(name="default", setting="requests", who=f"user:{who}")


def of_user(pk: object) -> Caller:
    """All keys and browsers of one user together."""
    return Caller(name="user", setting="user_requests", who=f"all:{pk}")


def of_address(address: str | None) -> list[Caller]:
    """All requests from there; none for this machine itself, behind which everybody is when a proxy says nothing of clients."""
    network = counted_network(address)
    return [Caller(name="address", setting="address_requests", who=f"from:{network}")] if network else []


def of_stranger(address: str | None) -> list[Caller]:
    """Requests from there that show no valid key and no session."""
    network = counted_network(address)
    return [Caller(name="stranger", setting="stranger_requests", who=f"stranger:{network}")] if network else []


def counted_network(address: str | None) -> str:
    """The address; of IPv6 the /64, which is what one customer has. Empty for what is not counted."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return ""
    return str(found) if found.version == 4 else str(ip_network((found.packed[:8] + bytes(8), 64)))


def take(callers: Iterable[Caller], window_s: int = 0) -> Allowance | None:
    """Count one request of each, in a window of requests or one that is so long. None when nobody counts, all being without
    limit."""
    wanted = [caller for caller in callers if caller.limit]
    if not wanted:
        return None
    window = window_s or settings.API_RATE["window_s"]
    number, passed = divmod(time.time(), window)
    turn = (window, int(number))
    keys = [f"rate:{caller.who}:{int(number)}" for caller in wanted]
    limits = [caller.limit for caller in wanted]
    if _own.is_used_up(turn, keys):
        used = [limit + _own.is_used_up(turn, [key]) for key, limit in zip(keys, limits, strict=True)]
    elif (used := _counted_together(keys, window)) is None:
        UNSHARED.inc()
        limits = [max(1, limit // settings.API_RATE.get("processes", 1)) for limit in limits]
        used = [_own.count(turn, key) for key in keys]
    else:
        _own.remember(turn, [key for key, limit, one in zip(keys, limits, used, strict=True) if one >= limit])
    lines = tuple(Line(name=caller.name, limit=limit, remaining=limit - one)
                  for caller, limit, one in zip(wanted, limits, used, strict=True))
    for line in lines:
        if line.remaining < 0:
            REFUSED.labels(line.name).inc()
    return Allowance(lines=lines, window_s=window, resets_in_s=max(1, round(window - passed)))


# -- together --

@cache
def _client() -> redis.Redis:
    # The client's own tries again would make everybody wait several times over.
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=ANSWERS_WITHIN_S, socket_connect_timeout=ANSWERS_WITHIN_S,
                                retry=Retry(NoBackoff(), 0))


class _Silence:
    """Whether Redis is away, and until when it is left alone (seconds of the monotonic clock)."""

    until = 0.0
    _lock = Lock()

    @classmethod
    def lets_ask(cls) -> bool:
        """Whether this request asks Redis. While it is away that is one of all that come in those seconds."""
        if not cls.until:
            return True
        with cls._lock:
            if time.monotonic() < cls.until:
                return False
            cls.until = time.monotonic() + ASK_AGAIN_AFTER_S
            return True


def is_shared() -> bool:
    """Whether limits are counted for all processes together."""
    return not _Silence.until


def _counted_together(keys: list[str], window: int) -> list[int] | None:
    """How many each has made, this one included; None when Redis does not say."""
    if not _Silence.lets_ask():
        return None
    try:
        pipeline = _client().pipeline(transaction=True)
        for key in keys:
            pipeline.incr(key).expire(key, window, nx=True)
        answers = pipeline.execute()
    except redis.RedisError as error:
        _Silence.until = time.monotonic() + ASK_AGAIN_AFTER_S
        log.warning("api.rate_not_shared", error=str(error))
        return None
    _Silence.until = 0.0
    return answers[::2]


# -- by this process alone --

Turn = tuple[int, int]
"""How long windows are, and which of them it is."""


@dataclass
class _Window:
    number: int
    used: dict[str, int] = field(default_factory=dict)
    used_up: set[str] = field(default_factory=set)


class _Own:
    """What this process knows of a window: who is used up, and what it counted itself while Redis was away."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._windows: dict[int, _Window] = {}

    def is_used_up(self, turn: Turn, keys: list[str]) -> bool:
        with self._lock:
            used_up = self._window(turn).used_up
            return any(key in used_up for key in keys)

    def remember(self, turn: Turn, keys: list[str]) -> None:
        if not keys:
            return
        with self._lock:
            used_up = self._window(turn).used_up
            if len(used_up) < MOST_REMEMBERED:
                used_up.update(keys)

    def count(self, turn: Turn, key: str) -> int:
        with self._lock:
            used = self._window(turn).used
            if key not in used and len(used) >= MOST_REMEMBERED:
                key = OTHERS
            used[key] = used.get(key, 0) + 1
            return used[key]

    def _window(self, turn: Turn) -> _Window:
        length, number = turn
        found = self._windows.get(length)
        if found is None or found.number != number:
            found = self._windows[length] = _Window(number)
        return found


_own = _Own()
