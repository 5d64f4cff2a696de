"""Structured logs: one JSON object a line, with request and operation ids bound by the middleware and the engine.

Secrets never get here: callers log ids; `scrub` drops the values of fields whose names say secret.
"""
import logging

import structlog

SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "private_key", "user_data", "ticket", "passwd")


def scrub(_logger: object, _name: str, event: dict[str, object]) -> dict[str, object]:
    """Mask the values of fields with secret-sounding names (a lease token is a counter and may be seen)."""
    for field in event:
        if field != "lease_token" and any(word in field.lower() for word in SECRET_WORDS):
            event[field] = "***"
    return event


SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    scrub,
    structlog.processors.format_exc_info,
]


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders both structlog's and the standard library's records."""

    def __init__(self) -> None:
        super().__init__(
            foreign_pre_chain=SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(default=str)],
        )


def configure() -> None:
    """Make structlog speak through the standard library's handlers."""
    logging.captureWarnings(True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(), wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
