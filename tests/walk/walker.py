"""Goes from page to page by the links that a reader sees, each kind of page once, and looks at what it meets.

A fault is a sentence. Kinds of pages are told apart by route and tab, so a list of a hundred instances is one visit more.
"""
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import axe_playwright_python
import polib
from django.conf import settings
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Response, sync_playwright

from tests.stories.browsing import CHROMIUM, QUIET

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
GRAVE = ("serious", "critical")
# A page's kind is its route and these values of its address; the rest (filters, order, pages) are the same page again.
KINDS = ("tab", "part", "lang")
# Other people's pages, downloads, and what ends the walk.
ASIDE = ("/admin/", "/api/v1/", "/static/", "/accounts/logout/", "/cli/mains")
AXE_SAYS = """async (rules) => {
  const options = {resultTypes: ["violations"]};
  if (rules) options.runOnly = {type: "rule", values: rules};
  const told = (node) => `${node.html.slice(0, 160)} ← ${(node.any[0]?.message || "").slice(0, 160)}`;
  const found = await axe.run(document, options);
  return found.violations.map((one) => [one.impact, one.id, one.nodes.slice(0, 3).map(told)]);
}"""
LOOKS = """() => {
  const silent = ["SCRIPT", "STYLE", "CODE", "PRE", "TEXTAREA"], texts = new Set();
  const read = (node) => node.childNodes.forEach((child) => {
    if (child.nodeType === 3) texts.add(child.data.trim().replace(/\\s+/g, " "));
    if (child.nodeType === 1 && !silent.includes(child.tagName) && !child.lang && child.translate !== false) read(child);
  });
  read(document.body);
  return {
    lang: document.documentElement.lang, h1: document.querySelectorAll("h1").length, texts: [...texts],
    links: [...document.querySelectorAll("a[href]:not([download])")].map(
        (link) => new URL(link.getAttribute("href"), location).href),
  };
}"""
# What is wider than the window, and what sticks out of its card although the window has room.
STICKS_OUT = """() => {
  const said = [], wider = document.documentElement.scrollWidth - window.innerWidth;
  if (wider > 0) said.push(`${wider} px wider than the window of ${window.innerWidth} px`);
  document.querySelectorAll(".card").forEach((card) => {
    const out = card.scrollWidth - card.clientWidth;
    if (out > 1) said.push(`${out} px out of the card “${card.textContent.trim().slice(0, 40)}” at ${window.innerWidth} px`);
  });
  return said;
}"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SET_THEME = "(theme) => { Object.assign(document.documentElement.dataset, {theme: theme, bsTheme: theme}); }"


class Walker:
    """One reader: signed in (or nobody), one language, one start."""

    def __init__(self, browser: Browser, address: str, *, session: str = "", language: str = "en",
                 bypass_csp: bool = False) -> None:
        self.address, self.language = f"http://{address}", language
        self.context = browser.new_context(viewport=WIDE, locale="en-GB", reduced_motion="reduce", bypass_csp=bypass_csp)
        cookies = {settings.SESSION_COOKIE_NAME: session, settings.LANGUAGE_COOKIE_NAME: language}
        self.context.add_cookies([{"name": name, "value": value, "url": self.address}
                                  for name, value in cookies.items() if value])
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.faults: list[str] = []
        self.seen: dict[tuple[str, ...], str] = {}
        self.page.on("pageerror", self._break)
        self.page.on("console", self._hear)
        self.page.on("response", self._note)

    def _say(self, text: str) -> None:
        self.faults.append(f"{self.page.url.removeprefix(self.address)}: {text}")

    def _break(self, error: Error) -> None:
        # The console's module is still on its way when the walk goes on.
        if "dynamically imported module" not in str(error):
            self._say(f"script: {error}")

    def _hear(self, message: ConsoleMessage) -> None:
        # htmx names what was asked for and not waited for an error: whoever goes on to another page does just that.
        expected = ("Failed to load resource", "htmx:sendAbort", "htmx:afterRequest")
        if message.type == "error" and not message.text.startswith(expected):
            self._say(f"console: {message.text[:300]}")

    def _note(self, response: Response) -> None:
        # The screen of a guest that is off is asked for too, and the page says why there is none.
        is_told = response.status == 409 and response.url.endswith("/console/")
        if response.status >= 400 and not is_told:
            self._say(f"{response.status} from {response.request.method} {response.url.removeprefix(self.address)}")

    def walk(self, start: str = "/", *, look: Callable[["Walker"], None]) -> set[str]:
        """Visit everything that can be reached; returns the names of the routes."""
        queue = deque([urljoin(self.address, start)])
        while queue:
            url = queue.popleft()
            kind = self.kind(url)
            if kind is None or kind in self.seen:
                continue
            self.seen[kind] = url
            self.page.goto(url, wait_until="load")
            self.seen.setdefault(self.kind(self.page.url) or kind, self.page.url)
            found = self.page.evaluate(LOOKS)
            self._check(found)
            look(self)
            queue.extend(found["links"])
        return {kind[0] for kind in self.seen}

    def measure(self) -> None:
        """Nothing sticks out at the present width."""
        for text in self.page.evaluate(STICKS_OUT):
            self._say(text)

    def kind(self, url: str) -> tuple[str, ...] | None:
        """What sort of page an address is; None for what is not walked."""
        parts = urlsplit(url)
        if f"{parts.scheme}://{parts.netloc}" != self.address or parts.path.startswith(ASIDE):
            return None
        try:
            match = resolve(parts.path)
        except Resolver404:
            return (parts.path,)
        words = match.kwargs.values() if match.view_name.startswith("docs:") else ()
        query = parse_qs(parts.query)
        return (match.view_name, *map(str, words), *(query.get(name, [""])[0] for name in KINDS))

    def _check(self, found: dict) -> None:
        self.measure()
        if found["lang"].lower() != self.language:
            self._say(f"is in {found['lang']}")
        if found["h1"] != 1:
            self._say(f"has {found['h1']} headings of the first level")
        if self.language != "en":
            self.faults += [f"{self.page.url.removeprefix(self.address)}: untranslated “{text}”"
                            for text in found["texts"] if text in translated()]


def axe(walker: Walker, *, dark: bool = True) -> None:
    """The rules of accessibility in light, and the contrasts in dark too."""
    _axe(walker, None, "light")
    if dark:
        _theme(walker.page, "dark")
        _axe(walker, ["color-contrast"], "dark")
        _theme(walker.page, "light")


def phone(walker: Walker) -> None:
    """Nothing sticks out on a narrow screen."""
    walker.page.set_viewport_size(PHONE)
    walker.page.evaluate(TWO_FRAMES)  # charts are drawn anew in the frame after
    walker.measure()
    walker.page.set_viewport_size(WIDE)


def _axe(walker: Walker, rules: list[str] | None, theme: str) -> None:
    if not walker.page.evaluate("() => 'axe' in window"):
        walker.page.evaluate(AXE)
    for impact, rule, nodes in walker.page.evaluate(AXE_SAYS, rules):
        if impact in GRAVE:
            walker._say(f"{rule} ({impact}, {theme}): {' | '.join(nodes)}")


def _theme(page: Page, theme: str) -> None:
    page.evaluate(SET_THEME, theme)


def translated() -> frozenset[str]:
    """Messages that read otherwise in Chinese."""
    global _TRANSLATED
    if _TRANSLATED is None:
        path = Path(settings.BASE_DIR) / "portal/locale/zh_Hans/LC_MESSAGES/django.po"
        _TRANSLATED = frozenset(entry.msgid for entry in polib.pofile(str(path))
                                if re.search(r"[a-z]{3}", entry.msgid) and entry.msgstr != entry.msgid)
    return _TRANSLATED


_TRANSLATED: frozenset[str] | None = None


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()
