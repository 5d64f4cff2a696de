"""A stranger signs up: everything at once or nothing, nobody learns who else is there, and no name does harm."""
import re
from decimal import Decimal

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from billing.models import Credit
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network.models import SecurityGroup, Vpc
from portal import outbox, signup
from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.kernel.models import AuditEvent
from tenants.models import Organization, User
from tests.network.networked import Networked
from tests.signup.conftest import PASSWORD
from tests.world import World, drain


def test_a_new_user_gets_a_place_with_a_network_and_credit(networked: Networked, door: World, sign_up, stranger: Client) -> None:
    answer = sign_up()
    assert (answer.status_code, answer["Location"]) == (302, reverse("dashboard"))
    user = User.objects.get(email="new@example.org")
    organization = Organization.objects.get(name="New Ltd")
    [project] = organization.projects.all()
    assert organization.plan == "trial" and user.grants.may_in_organization("organization.manage", organization.pk)
    assert Vpc.objects.filter(project=project, is_default=True).exists()
    assert SecurityGroup.objects.filter(project=project, is_default=True).exists()
    credit = Credit.objects.get(organization=organization)
    assert (credit.amount, credit.currency) == (Decimal(20), "CNY") and credit.expires_at > credit.created_at
    assert set(AuditEvent.objects.filter(organization=organization).values_list("action", flat=True)) >= {
        "organization.create", "project.create", "credit.grant"}


def test_the_welcome_leads_to_a_running_instance(networked: Networked, door: World, sign_up, stranger: Client) -> None:
    sign_up()
    welcome = stranger.get("/").content.decode()
    assert 'class="welcome-steps"' in welcome and "¥20.00 of credit" in welcome and 'class="chip credit-chip"' in welcome
    assert f'href="{reverse("instances:create")}"' in welcome
    page = stranger.get(reverse("instances:create"))
    form = page.context["form"]
    sent = {name: value for name, value in form.initial.items() if value not in (None, "", [])}
    answer = stranger.post(reverse("instances:create"), sent)
    assert answer.status_code == 302, answer.context["form"].errors
    drain()
    [instance] = Instance.objects.all()
    assert instance.state == "running" and instance.project.organization.name == "New Ltd"
    assert 'class="welcome-steps"' not in stranger.get("/").content.decode()


def test_it_is_all_or_nothing(door: World, sign_up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signup, "grant_credit", lambda *_args, **_more: 1 / 0)
    before = User.objects.count(), Organization.objects.count()
    with pytest.raises(ZeroDivisionError):
        sign_up()
    assert (User.objects.count(), Organization.objects.count()) == before


def test_a_stranger_cannot_take_the_whole_cloud(door: World, sign_up, settings) -> None:
    assert set(settings.PLANS["trial"]) == set(registry.dimensions)
    sign_up()
    project = Organization.objects.get(name="New Ltd").projects.get()
    with pytest.raises(QuotaExceeded) as refused:
        create_instance(door.order(project=project, count=5), actor=None)
    assert refused.value.facts["limit"] == 4


@pytest.mark.parametrize("is_open", [True, False])
def test_sign_up_is_offered_only_where_it_is_open(door: World, sign_up, stranger: Client, settings, is_open: bool) -> None:
    settings.SIGNUP_OPEN = is_open
    assert (reverse("account_signup") in stranger.get("/accounts/login/").content.decode()) is is_open
    text = stranger.get("/accounts/signup/").content.decode()
    assert ('name="password1"' in text) is is_open and ("Sign-up is closed" in text) is not is_open
    sign_up()
    assert User.objects.filter(email="new@example.org").exists() is is_open


def test_a_name_that_does_harm_is_refused(door: World, sign_up, settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    for name in ("<script>alert(1)</script>", "a\u202eb", "a\0b", "x" * 300, "{{ 7 }}", "..", "Operators", "MAINS", "s y s t e m",
                 "Ｓｕｐｐｏｒｔ", "管理员"):
        answer = sign_up(organization=name)
        assert answer.status_code == 200 and answer.context["form"].errors["organization"], name
        assert b"<script>alert" not in answer.content
    assert not User.objects.filter(email="new@example.org").exists()


def test_without_a_name_the_address_gives_one(door: World, sign_up, stranger: Client) -> None:
    for email, name in (("ada@example.org", "ada"), ("root@example.org", "My organization"),
                        ("a'b@example.org", "My organization")):
        sign_up(email, organization="")
        assert Organization.objects.filter(plan="trial").latest("created_at").name == name
        stranger.logout()


def test_user_names_tell_of_nobody(door: World, sign_up) -> None:
    User.objects.create(username="new")
    sign_up()
    assert re.fullmatch(r"new-[a-z0-9_-]{8}", User.objects.get(email="new@example.org").username)


# -- who else is there --

def shown(answer: object) -> tuple[int, str, str]:
    return answer.status_code, answer.get("Location", ""), re.sub(r"[A-Za-z0-9+/=_-]{16,}", "", answer.content.decode())


def test_an_address_that_is_taken_answers_like_a_new_one(strict: World, sign_up, stranger: Client) -> None:
    owner = strict.people["alice"]
    EmailAddress.objects.create(user=owner, email=owner.email, verified=True, primary=True)
    assert shown(sign_up("new@example.org")) == shown(sign_up(owner.email))
    assert "_auth_user_id" not in stranger.session
    assert {mail.to: mail.subject for mail in outbox.mails()} == {
        "new@example.org": "[Mains] Welcome to Mains: confirm your e-mail address",
        owner.email: "[Mains] You have an account already"}
    assert Organization.objects.filter(plan="trial").count() == 1


@pytest.mark.parametrize("email", ["alice@example.org", "nobody@example.org"])
def test_a_forgotten_password_tells_of_nobody(strict: World, stranger: Client, email: str) -> None:
    answer = stranger.post("/accounts/password/reset/", {"email": email})
    assert (answer.status_code, answer["Location"]) == (302, reverse("account_reset_password_done"))
    assert [mail.to for mail in outbox.mails()] == [email]


def test_sign_ups_from_one_address_are_limited(strict: World, sign_up) -> None:
    codes = [sign_up(f"n{number}@example.org", organization="<").status_code for number in range(12)]
    assert codes == [200] * 10 + [429] * 2


# -- proving the address --

def link_in(mail: outbox.Mail) -> str:
    return re.search(r"https?://[^/\s]+(/accounts/\S+)", mail.text)[1]


def test_an_address_is_proved_before_it_opens_anything(strict: World, sign_up, stranger: Client) -> None:
    answer = sign_up()
    assert answer["Location"] == reverse("account_email_verification_sent")
    assert stranger.get("/").status_code == 302
    login = {"login": "new@example.org", "password": PASSWORD}
    assert "/confirm-email/" in stranger.post("/accounts/login/", login)["Location"]
    link = link_in(outbox.mails()[-1])
    assert "Is new@example.org yours?" in stranger.get(link).content.decode()  # looking confirms nothing
    assert not EmailAddress.objects.get(email="new@example.org").verified
    assert stranger.post(link).status_code == 302
    assert stranger.post("/accounts/login/", login)["Location"] == reverse("dashboard")


def test_accounts_that_operators_made_need_no_proof(strict: World, stranger: Client) -> None:
    answer = stranger.post("/accounts/login/", {"login": "alice", "password": "correct horse battery"})
    assert answer["Location"] == reverse("dashboard")


def test_a_password_is_replaced_by_the_link_and_only_once(strict: World, stranger: Client) -> None:
    stranger.post("/accounts/password/reset/", {"email": "alice@example.org"})
    link = link_in(outbox.mails()[0])
    form = stranger.get(link)["Location"]
    fresh = {"password1": PASSWORD + "!", "password2": PASSWORD + "!"}
    assert stranger.post(form, fresh)["Location"] == reverse("account_reset_password_from_key_done")
    assert strict.people["alice"].__class__.objects.get(username="alice").check_password(PASSWORD + "!")
    assert "does not work any more" in Client(headers={"accept-language": "en"}).get(link).content.decode()


def test_mails_are_in_the_readers_language(strict: World, sign_up) -> None:
    Client(headers={"accept-language": "zh-hans"}).post("/accounts/signup/", {
        "email": "li@example.org", "password1": PASSWORD, "organization": "李"})
    assert User.objects.get(email="li@example.org").language == "zh-hans"
    [mail] = outbox.mails()
    assert "欢迎" in mail.subject and re.search(r"[\u4e00-\u9fff]", mail.text)
