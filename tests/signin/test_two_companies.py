"""Two companies side by side, in a real Chromium: sign-up, invitation, single sign-on, a second factor for all, more quota.

Everybody has a browser of their own. The provider of the single sign-on is a program beside (tests.signin.provider), and
an operator sets it up in admin. Screenshots of each station go to var/test/screenshots.
"""
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from allauth.mfa.totp.internal import auth
from django.contrib.auth.hashers import make_password
from django.core import mail
from django.core.cache import cache
from playwright.sync_api import Browser, Page, expect

from portal.kernel.models import AuditEvent
from tenants.models import Binding, Organization, Project, Quota, User
from tests.cast import make_cast
from tests.portal_server import serving
from tests.signin import provider
from tests.signin.conftest import STEP
from tests.stories.browsing import shoot
from tests.walk.walker import chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ROOT, SECRET, LONGEST_MS = Path(__file__).resolve().parents[2], "a long secret of one of them", 15_000
INSTANCES = "input[name=instances]"


@pytest.fixture
def portal(transactional_db: None, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A demo portal's address: anybody signs up, mails stay in memory."""
    settings.DOORBELLS, settings.SIGNUP_OPEN, settings.DEMO = False, True, True
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    make_cast()
    User.objects.filter(username="root").update(password=make_password(SECRET))
    mail.outbox = []
    with serving() as address:
        settings.SITE_URL = f"http://{address}"
        yield settings.SITE_URL
    cache.clear()


@contextmanager
def single_sign_on(callback: str, folder: Path) -> Iterator[str]:
    """The address of a provider that sends people back to `callback`."""
    program = subprocess.Popen([sys.executable, "-m", "tests.signin.provider", str(folder), callback], cwd=ROOT,
                               stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})
    try:
        yield f"http://127.0.0.1:{int(program.stdout.readline())}"
    finally:
        program.terminate()
        program.wait(10)


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, home: str) -> None:
        self.home = home
        self.page: Page = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB").new_page()
        self.page.set_default_timeout(LONGEST_MS)
        self.key = ""

    def open(self, path: str) -> Page:
        self.page.goto(path if path.startswith("http") else self.home + path)
        return self.page

    def fill(self, button: str, **fields: str) -> None:
        """Fill a form's fields, and press its button."""
        for name, value in fields.items():
            field = self.page.locator(f"main [name={name}], #content [name={name}], form [name={name}]").first
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(label=value)
            else:
                field.fill(value)
        self.press(button)

    def press(self, button: str) -> None:
        """The button of this name, on the way to another page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).first.click()

    def sees(self, text: str) -> None:
        expect(self.page.locator("body")).to_contain_text(text, timeout=LONGEST_MS)

    def sign_up(self, email: str, organization: str) -> None:
        self.open("/accounts/signup/")
        self.fill("Create an account", email=email, organization=organization, password1=SECRET)
        self.page.wait_for_url(f"{self.home}/")

    def set_up_app(self) -> None:
        """An authenticator app: its key from the page, its code typed back."""
        self.open("/accounts/2fa/totp/activate/")
        if "reauthenticate" in self.page.url:
            self.fill("Go on", password=SECRET)
        self.key = re.search(r"\b[A-Z2-7]{32}\b", self.page.locator("main").inner_text())[0]
        self.fill("Turn on", code=self.code())

    def code(self) -> str:
        return auth.format_hotp_value(auth.hotp_value(self.key, int(time.time() // STEP)))

    def ask(self, path: str) -> int:
        """The status that a page or an address of the API answers with."""
        return self.page.request.get(self.home + path, max_redirects=0).status


def link_in_mail(to: str) -> str:
    """The link of the newest mail to this address that invites."""
    body = next(one.body for one in reversed(mail.outbox) if one.to == [to] and "/invitations/" in one.body)
    return re.search(r"http\S+/invitations/accept/\S+", body)[0]


def test_two_companies_side_by_side(portal: str, tmp_path: Path) -> None:
    with chromium() as browser:
        ann, rob, carol, dave, root = (Person(browser, portal) for _number in range(5))
        ann.sign_up("ann@acme.example", "Blue")
        shoot(ann.page, "two-ann-is-in")
        rob.sign_up("rob@red.example", "Red")
        project = _project_of(ann)
        _invite(ann, carol)
        with single_sign_on(f"{portal}/accounts/oidc/blue-id/login/callback/", tmp_path) as issuer:
            _set_up_single_sign_on(root, issuer)
            _sign_on(dave)
            _require_a_second_factor(ann, dave, project)
            _carol_sets_it_up_and_asks_for_more(carol, ann, project)
            _keep_apart(ann, rob, carol, dave, project)
    _agree(project)


def _project_of(person: Person) -> str:
    page = person.open("/projects/")
    page.get_by_role("link", name="Default", exact=True).first.click()
    page.wait_for_url("**/projects/*-*-*/**")
    return page.url.split("/projects/")[1].split("/")[0]


def _invite(ann: Person, carol: Person) -> None:
    """Carol is invited by mail, makes an account by its link, and is in."""
    ann.open("/members/invite/")
    ann.fill("Send invitation", email="carol@acme.example", scope="Blue / Default", role="Operator")
    shoot(ann.page, "two-invited")
    carol.open(link_in_mail("carol@acme.example"))
    carol.sees("You are invited to")
    shoot(carol.page, "two-invitation")
    carol.page.get_by_role("link", name="Sign up", exact=True).click()
    carol.fill("Create an account", email="carol@acme.example", password1=SECRET)
    carol.press("Accept")
    carol.open("/projects/")
    carol.sees("Blue")


def _set_up_single_sign_on(root: Person, issuer: str) -> None:
    root.open("/admin/")
    root.fill("Sign in", login="root", password=SECRET)
    page = root.open("/admin/tenants/connection/add/")
    for name, value in {"name": "Blue ID", "slug": "blue-id", "issuer": issuer, "client_id": provider.CLIENT,
                        "client_secret": provider.SECRET, "domains-0-name": "acme.example"}.items():
        page.fill(f"[name={name}]", value)
    page.locator("#id_organization + .select2, [aria-labelledby*=id_organization]").first.click()
    page.fill(".select2-search__field", "Blue")
    page.locator(".select2-results__option", has_text="Blue").first.click()
    page.select_option("[name=role]", label="Operator")
    shoot(page, "two-single-sign-on-in-admin", whole=True)
    page.locator("[name=_save]").first.click()
    page.wait_for_url("**/admin/tenants/connection/")


def _sign_on(dave: Person) -> None:
    """Dave has no account here: his company's provider says who he is."""
    page = dave.open("/accounts/login/")
    shoot(page, "two-sign-in")
    dave.press("Sign in with Blue ID")
    page.fill("[name=login]", "dave")
    page.fill("[name=password]", provider.PASSWORD)
    page.locator("[type=submit]").first.click()
    page.wait_for_url(f"{dave.home}/**")
    dave.open("/projects/")
    dave.sees("Blue")
    shoot(page, "two-signed-on")


def _require_a_second_factor(ann: Person, dave: Person, project: str) -> None:
    """Who requires it has it; whoever has not is led to it and sees nothing of the company until then."""
    ann.set_up_app()
    page = ann.open("/organization/")
    page.get_by_role("link", name="Settings", exact=True).click()
    page.check("[name=requires_mfa]")
    ann.press("Save")
    ann.sees("required of all members")
    shoot(page, "two-required")
    page = dave.open(f"/projects/{project}/")
    dave.sees("two-step sign-in is required")
    shoot(page, "two-led-there")
    assert dave.ask(f"/api/v1/projects/{project}/") == 403


def _carol_sets_it_up_and_asks_for_more(carol: Person, ann: Person, project: str) -> None:
    assert carol.ask(f"/api/v1/projects/{project}/") == 403
    carol.set_up_app()
    assert carol.ask(f"/api/v1/projects/{project}/") == 200
    # Her limit first: Ann sets one.
    ann.open(f"/projects/{project}/limits/?region=lab")
    ann.fill("Save", instances="1")
    shoot(ann.page, "two-limits", whole=True)
    ann.sees("Blue")
    carol.open(f"/quota-requests/create/?scope={project}&resource=instances")
    carol.fill("Send request", wanted="3", reason="Two more shops")
    shoot(carol.page, "two-asked")
    page = ann.open("/quota-requests/")
    shoot(page, "two-inbox")
    page.locator("td a[href*='/quota-requests/']").first.click()
    ann.sees("Two more shops")
    shoot(page, "two-decides")
    ann.fill("Raise", granted="3", answer="Good luck")
    ann.sees("The limit was raised.")
    shoot(page, "two-granted")
    carol.open("/quota-requests/")
    carol.sees("Granted")


def _keep_apart(ann: Person, rob: Person, carol: Person, dave: Person, project: str) -> None:
    """Rob of the other company was asked for nothing, sees nothing of the first, and it sees nothing of his."""
    own = _project_of(rob)
    assert rob.ask(f"/projects/{own}/") == 200 and rob.ask(f"/api/v1/projects/{own}/") == 200
    for path in ("/projects/{}/", "/api/v1/projects/{}/", "/api/v1/projects/{}/quotas/"):
        assert rob.ask(path.format(project)) == 404
        assert [one.ask(path.format(own)) for one in (ann, carol)] == [404, 404]
    rob.open("/audit/")
    for foreign in ("Blue", "carol", "Two more shops"):
        expect(rob.page.locator("main")).not_to_contain_text(foreign)
    shoot(rob.page, "two-rob-sees")
    ann.open("/audit/")
    for told in ("Invite", "Set quotas", "Raise a limit"):
        expect(ann.page.locator("main")).to_contain_text(told)
    shoot(ann.page, "two-ann-sees")


def _agree(project: str) -> None:
    """What the pages said is so."""
    blue = Organization.objects.get(name="Blue")
    assert blue.requires_mfa and not Organization.objects.get(name="Red").requires_mfa
    assert Quota.objects.get(project=project, dimension="instances").limit == 3
    roles = dict(Binding.objects.filter(organization=blue).values_list("user__email", "role"))
    assert roles["dave@acme.example"] == "operator" and Project.objects.get(pk=project).organization == blue
    actions = set(AuditEvent.objects.filter(organization_id=blue.pk).exclude(result="refused").values_list("action", flat=True))
    assert actions >= {"invitation.create", "invitation.accept", "member.bind", "organization.change", "quota.request",
                       "quota.grant"}
