"""What the stories in a real Chromium share. Screenshots of each station go to var/test/screenshots."""
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.stories.portal import Portal

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
# What a browser says when the web process is killed, or when a page is left while it fetches; anything else on its
# console is a fault of ours.
HARMLESS = ("WebSocket", "ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "htmx:sendError", "htmx:sendAbort", "htmx:afterRequest")


@contextmanager
def open_page() -> Iterator[Page]:
    """A signed-out browser; errors on the page's console fail the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
        page = context.new_page()
        page.set_default_timeout(20_000)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        yield page
        browser.close()
    assert not [text for text in troubles if not any(word in text for word in HARMLESS)], troubles


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    folder = Path(os.environ["MAINS_STATE_DIR"]) / "screenshots"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"), full_page=whole)


def sign_in(page: Page, portal: Portal, username: str = "demo") -> None:
    page.goto(portal.url)
    page.fill("input[name=login]", username)
    page.fill("input[name=password]", "mains demo only")
    page.click("button[type=submit]")
    page.wait_for_url(f"{portal.url}/")


def until(page: Page, condition: Callable[[], object], what: str, limit_s: float = 60) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < limit_s:
        if condition():
            return time.monotonic() - begun
        page.wait_for_timeout(150)
    shoot(page, "failed")
    raise AssertionError(f"not within {limit_s} s: {what}")


def state_of(portal: Portal, pk: str) -> str:
    status, body = portal.api("GET", f"instances/{pk}/")
    return body["state"] if status == 200 else "gone"


def confirm(page: Page, name: str = "") -> None:
    page.wait_for_selector("#confirm[open]")
    if name:
        page.fill("#confirm-input", name)
    shoot(page, "confirm")
    page.click("#confirm-yes")
