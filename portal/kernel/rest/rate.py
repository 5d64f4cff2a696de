"""How many requests a caller may make: a fixed window for each API key or user, counted in Redis.

Told on every answer by `RateLimit-Policy` and `RateLimit` (IETF draft-ietf-httpapi-ratelimit-headers). Redis is a doorbell
and no truth: without it everybody is let in, and it is not asked again for a few seconds.
"""
import time
from dataclasses import dataclass
from functools import cache

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 0.2
ASK_AGAIN_AFTER_S = 5.0
NAME = "default"


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """Of one caller in this window."""

    limit: int
    window_s: int
    remaining: int
    resets_in_s: int

    @property
    def is_used_up(self) -> bool:
        return self.remaining < 0

    def headers(self) -> dict[str, str]:
        return {"RateLimit-Policy": f'"{NAME}";q={self.limit};w={self.window_s}',
                "RateLimit": f'"{NAME}";r={max(0, self.remaining)};t={self.resets_in_s}'}


class _Silence:
    """Until when an unreachable Redis is left alone (seconds of the monotonic clock)."""

    until = 0.0


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=ANSWERS_WITHIN_S, socket_connect_timeout=ANSWERS_WITHIN_S)


def take(caller: str) -> Allowance | None:
    """Count one request of the caller's. None when nobody counts: switched off (limit 0), or Redis does not answer."""
    limit, window = settings.API_RATE["requests"], settings.API_RATE["window_s"]
    if not limit or time.monotonic() < _Silence.until:
        return None
    number, passed = divmod(time.time(), window)
    key = f"rate:{caller}:{int(number)}"
    try:
        used, _set = _client().pipeline(transaction=True).incr(key).expire(key, window, nx=True).execute()
    except redis.RedisError as error:
        _Silence.until = time.monotonic() + ASK_AGAIN_AFTER_S
        log.warning("api.rate_not_counted", error=str(error))
        return None
    return Allowance(limit=limit, window_s=window, remaining=limit - used, resets_in_s=max(1, round(window - passed)))
