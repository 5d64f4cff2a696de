"""The serial console and pasted text in a real Chromium: xterm.js under the pages' policy, what is typed on which keys."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect, sync_playwright

from compute.instances.models import Instance
from tests.console.line import FakeLine
from tests.console.test_serial import line, until  # noqa: F401 — a fixture
from tests.stories.browsing import CHROMIUM, HARMLESS, QUIET, shoot

pytestmark = pytest.mark.browser
KEYBOARDS = Path(settings.BASE_DIR) / "static" / "keyboards.js"


@pytest.fixture
def page(world, instance: Instance, site: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """Oscar's; whatever the browser complains of fails the test."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright runs a loop in this thread
    client = Client()
    client.force_login(world.people["oscar"])
    troubles: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": f"http://{site}"}])
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
        expect.set_options(timeout=30_000)
        yield page
        browser.close()
    assert not [text for text in troubles if not any(word in text for word in HARMLESS)], troubles


def test_a_terminal_shows_colours_and_sends_what_is_typed(page: Page, instance: Instance, line: FakeLine, site: str) -> None:  # noqa: F811
    page.goto(f"http://{site}/instances/{instance.pk}/?tab=console&view=serial")
    expect(page.locator("#console[data-state=connected]")).to_be_visible()
    line.says(b"\x1b[32mgreen\x1b[0m \x1b[38;2;255;100;0mfire\x1b[0m plain \xe4\xb8\xad\xe6\x96\x87\r\nweb login: ")
    expect(page.locator(".xterm-rows")).to_contain_text("fire plain")
    colours = page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('.xterm-rows span')].map(
        (one) => [one.textContent.trim(), getComputedStyle(one).color]))""")
    assert colours["fire"] == "rgb(255, 100, 0)" and colours["green"] not in ("", colours["fire"], colours.get("plain"))
    lines = page.evaluate("[...document.querySelectorAll('.xterm-rows > div')].map((one) => one.getBoundingClientRect().height)")
    assert min(lines) >= 14 * 1.18, "else underscores are cut off"
    page.keyboard.type("demo")
    page.keyboard.press("Enter")
    until(lambda: line.typed == b"demo\r", "it arrived")
    line.says(b"\x1b[6n")
    until(lambda: line.typed.endswith(b"R"), "the terminal says where its cursor is")
    expect(page.locator("#console-sessions")).to_contain_text("Serial console")
    shoot(page, "serial-console")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "serial-console-narrow")
    line.says(b"")
    expect(page.locator("[data-over-text]")).to_contain_text("The line has ended")
    line.is_taken = True
    page.get_by_role("button", name="Reconnect").last.click()
    page.get_by_role("button", name="Take it over").click()
    expect(page.locator("#console[data-state=connected]")).to_be_visible()


# What a layout's own keyboard shows, by place: alone, with Shift and with AltGr; dead keys; what is on none of its keys.
TYPED = {
    "us": {"z": "KeyZ", "A": "ShiftLeft+KeyA", "@": "ShiftLeft+Digit2", "\\": "Backslash", "\n": "Enter", "é": None, "中": None},
    "gb": {"@": "ShiftLeft+Quote", "\"": "ShiftLeft+Digit2", "£": "ShiftLeft+Digit3", "#": "Backslash", "\\": "IntlBackslash"},
    "de": {"z": "KeyY", "y": "KeyZ", "@": "AltRight+KeyQ", "ß": "Minus", "^": "Backquote Space", "é": "Equal KeyE",
           "/": "ShiftLeft+Digit7", "|": "AltRight+IntlBackslash", "€": "AltRight+KeyE"},
    "fr": {"a": "KeyQ", "1": "ShiftLeft+Digit1", "é": "Digit2", "ê": "BracketLeft KeyE", ".": "ShiftLeft+Comma",
           "#": "AltRight+Digit3"},
    "es": {"ñ": "Semicolon", "á": "Quote KeyA", "@": "AltRight+Digit2", "¿": "ShiftLeft+Equal"},
    "it": {"è": "BracketLeft", "@": "AltRight+Semicolon", "\\": "Backquote"},
    "jp": {"@": "BracketLeft", "_": "ShiftLeft+IntlRo", "|": "ShiftLeft+IntlYen", ":": "Quote", "\"": "ShiftLeft+Digit2"},
}


def test_a_layout_gives_every_sign_of_a_shell_and_the_right_keys(page: Page) -> None:
    page.goto("about:blank")
    found = page.evaluate("""async ([source, wanted]) => {
        const {strokesOf, layouts} = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
        const told = (layout, sign) => strokesOf(layout, sign)?.map(
            (stroke) => [...stroke.modifiers, stroke.place].join("+")).join(" ") ?? null;
        const ascii = [...Array(95).keys()].map((number) => String.fromCharCode(32 + number));
        return {typed: Object.fromEntries(Object.entries(wanted).map(([layout, signs]) => [layout, Object.fromEntries(
            Object.keys(signs).map((sign) => [sign, told(layout, sign)]))])),
          missing: layouts.flatMap((layout) => ascii.filter((sign) => !strokesOf(layout, sign)).map((sign) => layout + sign)),
          layouts};
    }""", [KEYBOARDS.read_text(), TYPED])
    assert found["typed"] == TYPED
    assert found["missing"] == []
    assert set(found["layouts"]) == set(TYPED)
