"""The page of costs over 100,000 instances with their volumes, and its parts: the first look, when nothing is remembered, and the
second. An operator looks at everything; the owner of the biggest organization at a fifth."""
import time

from tests.bench import region
from tests.bench.figures import Figure, duration, median

ROUNDS, MOST_S = 5, 0.3
WHO = {"root": "everything", "alice": "a fifth of it"}
PAGE = {"by": "service"}
PARTS = {"forecast and last month": PAGE | {"part": "outlook"}, "days": PAGE | {"part": "days"},
         "dearest resources": {"by": "resource", "part": "parts"}, "dearest tags": {"by": "tag:env", "part": "parts"},
         "unusual and idle": PAGE | {"part": "findings"}}


def measure() -> list[Figure]:
    from portal.serving import settle

    big = region.opened()
    big.use()
    settle()  # as portal.asgi does
    found = []
    for who, what in WHO.items():
        browser = big.cast.browser(who)
        browser.get("/costs/", {"project": "all"})  # the session, the templates, the connection
        for name, query in ({"page": PAGE} | PARTS).items():
            first, second = zip(*(_looks(browser, query) for _round in range(ROUNDS)), strict=True)
            found += [_figure(f"costs: {name}, first look", first, what, has_goal=name == "page"),
                      _figure(f"costs: {name}, second look", second, what, has_goal=name == "page")]
    return found


def _looks(browser, query: dict[str, str]) -> tuple[float, float]:
    from portal.kernel import remembered

    remembered.forget()
    headers = {"HX-Request": "true"} if "part" in query else {}
    return _timed(browser, query, headers), _timed(browser, query, headers)


def _timed(browser, query: dict[str, str], headers: dict[str, str]) -> float:
    begun = time.perf_counter()
    answer = browser.get("/costs/", query, headers=headers)
    took = time.perf_counter() - begun
    assert answer.status_code == 200
    return took


def _figure(name: str, times: tuple[float, ...], what: str, *, has_goal: bool) -> Figure:
    return Figure(name=name, value=duration(times), compared=what, goal=f"≤ {1000 * MOST_S:.0f} ms" if has_goal else "",
                  met=median(times) <= MOST_S if has_goal else None)
