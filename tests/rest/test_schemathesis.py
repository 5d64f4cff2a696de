"""Machine-made requests from the published schema: every operation, as a tenant and as an operator, examples first, then
nonsense, then sequences that use what others made. No answer may be a 5xx or differ from the schema.

Seeded: 2,000 requests in `make test`; 20,000 in `make soak`, in rounds of other seeds. The app runs in this process on the
real database.
"""
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.run import PhaseName

from portal.kernel.api import OperationViewSet
from tenants import operations as tenants
from tenants.models import ApiKey
from tests.cast import make_cast
from tests.portal.routes import routes
from tests.portal.scenery import make_scene
from tests.soak import SOAKING

REQUESTS = 10_000 if SOAKING else 1_000  # asked of each of two callers
ROUND = 2_500 if SOAKING else 1_250  # one round asks at most so many; what it could not think of, the next one's seed may
SEQUENCES, STEPS = (600, 20) if SOAKING else (300, 10)  # more than the requests last for
ACTIONS = [route for route in routes() if route.is_api]
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
SEED = 20261124


@dataclass
class Watched:
    """The application, and a count of what it is asked and answers. The caller's key outlives being revoked by itself."""

    app: Callable[..., Iterable[bytes]]
    key: ApiKey
    asked: Counter = field(default_factory=Counter)
    answers: Counter = field(default_factory=Counter)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def noted(status: str, *rest: Any) -> Any:
            self.asked[environ["REQUEST_METHOD"]] += 1
            self.answers[int(status[:3])] += 1
            return start_response(status, *rest)

        ApiKey.objects.filter(pk=self.key.pk).update(revoked_at=None)
        answer = self.app(environ, noted)
        try:
            return [b"".join(answer)]
        finally:
            answer.close()  # the thread's connection to the database ends with its request

    @property
    def total(self) -> int:
        return sum(self.asked.values())


def configured(secret: str, round_number: int) -> SchemathesisConfig:
    """Nine tenths of the requests for examples and fuzzing, the rest for sequences."""
    examples = int(ROUND * 0.9 / len(ACTIONS)) - 1
    off = {"enabled": False}
    return SchemathesisConfig.from_dict({
        "seed": SEED + round_number, "workers": 1, "continue-on-failure": True,
        "headers": {"Authorization": f"Bearer {secret}", "REMOTE_ADDR": "127.0.0.1"},
        "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
        "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True, "database": "none",
                       "with-security-parameters": False},
        "phases": {"examples": {"enabled": True}, "coverage": off, "fuzzing": {"enabled": True},
                   "stateful": {"enabled": True, "max-steps": STEPS, "generation": {"max-examples": SEQUENCES}}},
    })


@pytest.fixture
def without_logs() -> Iterator[None]:
    """Thousands of refusals are what is wanted here."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """`?wait=` is read and checked, and nobody sleeps."""
    seconds = OperationViewSet._seconds
    monkeypatch.setattr(OperationViewSet, "_seconds", lambda self, request: 0 * seconds(self, request))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("without_waiting", "without_logs")
@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_request_breaks_the_server_or_the_schema(who: str) -> None:
    rate = {"requests": 0, "window_s": 60}
    with override_settings(DOORBELLS=False, API_RATE=rate, ALLOWED_HOSTS=["*"], SECURE_SSL_REDIRECT=False):
        scene = make_scene(make_cast())
        person = scene.cast.people[who]
        key, secret = tenants.create_api_key(person, name="schemathesis", actor=person)
        app = Watched(get_wsgi_application(), key)
        failures, tried, rounds = [], {}, count()
        while app.total < REQUESTS:
            failures += run(app, secret, next(rounds), tried)
    labels = set().union(*tried.values())
    print(f"\n{who}: {app.total} requests over {len(labels)} operations, answers {dict(sorted(app.answers.items()))}")
    assert failures == [], "\n\n".join(sorted(set(failures)))
    assert len(labels) > 90
    assert tried.keys() >= {PhaseName.EXAMPLES, PhaseName.FUZZING, PhaseName.STATEFUL_TESTING}
    assert app.answers[200] > 100 and app.answers[400] > 100, "only one kind of answer: nothing was tried"


def run(app: Watched, secret: str, round_number: int, tried: dict[PhaseName, set[str]]) -> list[str]:
    """What went wrong; the operations that each phase tried are added. Ends when all phases have run or the round's requests
    are used up."""
    most = app.total + ROUND
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", app, config=configured(secret, round_number))
    failures: list[str] = []
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            cases = event.recorder.cases
            for key, checks in event.recorder.checks.items():
                failures += [f"{cases[key].value.as_curl_command()}\n{check.failure_info.failure}"
                             for check in checks if check.failure_info]
            tried.setdefault(event.phase, set()).update(case.value.operation.label for case in cases.values())
        elif isinstance(event, (events.NonFatalError, events.FatalError)):
            failures.append(f"{event.exception if isinstance(event, events.FatalError) else event.value}")
        if app.total >= most:
            stream.stop()
    return failures
