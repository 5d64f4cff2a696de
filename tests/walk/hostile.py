"""Script in every text that somebody can write, and a browser that tells when any of it becomes markup or runs."""
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from django.apps import apps
from django.db import connection
from django.db.models import CharField, Model, TextField
from django.db.models.functions import Now
from playwright.sync_api import Browser, Download, Locator, Page
from psycopg import sql

from billing.models import Credit, Invoice
from billing.operations import grant_credit
from portal.kernel.models import Operation, Resource
from tests.architecture.source import room_of
from tests.cast import make_cast
from tests.conftest import FINAL
from tests.portal.scenery import Scene, make_rows, make_scene
from tests.walk.walker import Walker

CANARY = "\"'--></title></script><img src=canary onerror=stolen()>{{7*7}}"
# An address that every check of addresses takes: what stands before the @ is quoted.
HOSTILE_ADDRESS = '"<img/src=canary/onerror=stolen()>"@example.org'
FREE = {"name", "description", "label", "text", "os", "first_name", "last_name", "note", "title", "detail", "reason",
        "answer", "suspension_reason", "agent"}
INJECTED = """() => document.querySelector('img[src="canary"], img[src="canary/onerror=stolen()"]') !== null"""


def free_texts() -> Iterator[tuple[type[Model], str]]:
    """Every field of ours that people fill in as they like."""
    for model in apps.get_models():
        if room_of(model.__module__) and model is not Credit:
            for field in model._meta.local_fields:
                if isinstance(field, (CharField, TextField)) and not field.choices and field.name in FREE:
                    yield model, field.name


@contextmanager
def what_is_final_can_be_changed() -> Iterator[None]:
    """Triggers let nobody change what was booked: the owner of the tables switches them off."""
    tables = [name for name in FINAL if name.startswith("billing_")]

    def switch(how: str) -> None:
        with connection.cursor() as cursor:
            for name in tables:
                cursor.execute(sql.SQL("ALTER TABLE {} " + how + " TRIGGER USER").format(sql.Identifier(name)))

    switch("DISABLE")
    try:
        yield
    finally:
        switch("ENABLE")


def make_hostile_scene() -> Scene:
    """Two rows of everything, the canary in each of their texts; every operation has failed for a reason that is one too."""
    scene = make_scene(make_cast())
    cast = scene.cast
    cast.scenery = make_rows(cast, cast.project, cast.alice, scene.ours, number=1)
    grant_credit(cast.organization, amount=Decimal(5), reason=CANARY, actor=cast.root)  # a grant is never changed
    with what_is_final_can_be_changed():
        for model, field in free_texts():
            longest = model._meta.get_field(field).max_length or 1000
            for number, row in enumerate(model._base_manager.all()):
                model._base_manager.filter(pk=row.pk).update(**{field: f"{CANARY}{number}"[-longest:]})
        Invoice.objects.update(buyer=dict.fromkeys(("name", "address", "country", "tax_id", "email"), CANARY))
    type(cast.vera).objects.filter(pk=cast.vera.pk).update(email=HOSTILE_ADDRESS, username=CANARY)
    Resource.objects.update(tags={CANARY: CANARY})
    error = {"code": "host_fault", "detail": CANARY, "facts": {"reason": CANARY}}
    Operation.objects.update(state="failed", finished_at=Now(), error=error, actor=cast.vera)
    return scene


class Victim:
    """A reader without the shelter of the content security policy: markup that gets into a page is seen, script that
    gets into it runs and is heard."""

    def __init__(self, browser: Browser, address: str, *, session: str = "") -> None:
        self.ran: list[str] = []
        self.walker = Walker(browser, address, session=session, bypass_csp=True)
        self.walker.context.expose_binding("stolen", lambda source: self.ran.append(source["page"].url))
        self.page: Page = self.walker.page

    def goto(self, path: str) -> None:
        self.page.goto(f"{self.walker.address}{path}", wait_until="load")
        self.check()

    def shows(self, place: str, text: str = CANARY) -> Locator:
        """The place says the text as it is, neither as markup nor escaped twice."""
        found = self.page.locator(place)
        found.get_by_text(text).first.wait_for()
        self.check()
        return found

    def check(self) -> None:
        assert not self.page.evaluate(INJECTED), f"markup in {self.page.url}"
        assert self.ran == []

    def download(self, place: str) -> Download:
        with self.page.expect_download() as begun:
            self.page.locator(place).click()
        return begun.value

    @property
    def faults(self) -> list[str]:
        return self.walker.faults
