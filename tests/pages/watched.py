"""A page in a real Chromium whose answers and hints a test gives: nothing is asked of the database while the browser runs."""
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Route, WebSocketRoute, sync_playwright

from tests.stories.browsing import CHROMIUM, QUIET

HOME = "http://portal.test"


@contextmanager
def watched(path: str, answer: Callable[[Route], None]) -> Iterator[tuple[Page, Callable[[str, object], None]]]:
    """The page at `path`, its requests answered by `answer`, and what sends it a hint of a kind and an id."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = chromium.new_page()
        sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/ws/live/"), lambda socket: sockets.append(socket))
        page.route(re.compile(".*"), answer)
        page.goto(HOME + path)
        page.wait_for_function("window.htmx !== undefined")
        yield page, lambda kind, pk: sockets[0].send(json.dumps({"kind": kind, "id": str(pk)}))
        chromium.close()
