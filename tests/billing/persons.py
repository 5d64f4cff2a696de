"""Somebody at a browser of their own, as stories of billing have them."""
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.stories.browsing import HARMLESS, shoot
from tests.walk.walker import PHONE, WIDE, Walker
from tests.world import PASSWORD

LONGEST_MS = 30_000


class Person:
    """Signs in, fills in, presses, downloads, and keeps a picture of each station."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.walker = Walker(browser, address)
        self.page: Page = self.walker.page
        self.page.set_default_timeout(LONGEST_MS)

    def open(self, path: str) -> Page:
        self.page.goto(self.walker.address + path, wait_until="load")
        return self.page

    def sign_in(self, name: str, to: str) -> None:
        self.open(f"/accounts/login/?next={to}")
        self.fill(login=name, password=PASSWORD)
        self.press("form:has([name=password]) button[type=submit]")
        self.page.wait_for_url(f"**{to}")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.page.locator(f"form [name={name}]:not(button)").first
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def press(self, what: str) -> None:
        """A button or link, on the way to another page."""
        with self.page.expect_navigation():
            self.page.locator(what).first.click()

    def speak(self, language: str) -> None:
        """By the menu at the top."""
        self.page.locator(".language-menu summary").click()
        self.press(f".language-menu button[value={language}]")
        self.walker.language = language

    def sees(self, *texts: str, where: str = "main") -> None:
        for text in texts:
            expect(self.page.locator(where)).to_contain_text(text, timeout=LONGEST_MS)

    def shoot(self, name: str, *, is_on_phone: bool = False) -> None:
        """The whole page; nothing sticks out of it on a telephone either, of which there is a picture where it is asked for."""
        self.walker.measure()
        shoot(self.page, f"billing-{name}", whole=True)
        self.page.set_viewport_size(PHONE)
        self.walker.measure()
        if is_on_phone:
            shoot(self.page, f"billing-{name}-phone", whole=True)
        self.page.set_viewport_size(WIDE)

    def download(self, what: str) -> tuple[str, bytes]:
        """What a click brings: its name and content."""
        with self.page.expect_download() as coming:
            self.page.locator(what).first.click()
        return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()

    @property
    def faults(self) -> list[str]:
        """Of pages that were not just left."""
        return [fault for fault in self.walker.faults if not any(word in fault for word in HARMLESS)]
