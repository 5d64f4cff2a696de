"""The pages of quotas: bars, setting limits, asking, answering, and what the dashboards and mails say of it."""
from typing import Any

import pytest
from django.urls import reverse

from compute.network.operations import create_vpc
from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.templatetags.ui import asks_for_more
from tenants import limits, quota_notices, quota_requests
from tenants.models import QuotaRequest
from tests.quotas.conftest import Tree


def bars(tree: Tree, who: str, scope: Any) -> str:
    is_project = scope._meta.model_name == "project"
    url = reverse("projects:detail" if is_project else "organizations:quotas", args=[scope.pk])
    return tree.cast.browser(who).get(url, {"tab": "quotas"} if is_project else {}).content.decode()


def test_bars_offer_to_set_or_to_ask(tree: Tree) -> None:
    tree.limit(tree.shop, 7)
    tree.limit(tree.cast.organization, 11)
    for who, scope, sets, asks in (("alice", tree.shop, True, False), ("adam", tree.shop, True, False),
                                   ("oscar", tree.shop, False, True), ("vera", tree.shop, False, False),
                                   ("adam", tree.cast.project, False, True), ("alice", tree.cast.organization, False, True),
                                   ("root", tree.cast.organization, True, False)):
        text = bars(tree, who, scope)
        assert ("Set limits" in text, "Ask for more" in text) == (sets, asks), (who, scope.name)
        assert "0 / 11" in text and "All regions together" in text
        assert ("0 / 7" in text) == (scope == tree.shop)


def test_limits_are_set_on_a_page(tree: Tree) -> None:
    url, browser = reverse("projects:limits", args=[tree.shop.pk]), tree.cast.browser("adam")
    answer = browser.get(url, {"region": "lab"}).content.decode()
    assert 'name="instances"' in answer and 'name="api_keys"' not in answer
    tree.limit(tree.shop, 3)
    answer = browser.post(f"{url}?region=lab", {"instances": "8", "vcpus": ""}, follow=True)
    assert limits.limit_of(tree.shop, tree.cast.region, "instances") == 8 and "Saved." in answer.content.decode()
    browser.post(f"{url}?region=lab", {"instances": ""})
    assert limits.limit_of(tree.shop, tree.cast.region, "instances") is None
    browser.post(url, {"api_keys": "4"})
    assert limits.limit_of(tree.shop, None, "api_keys") == 4
    assert browser.post(f"{url}?region=lab", {"instances": "-1"}).status_code == 400
    assert browser.get(url, {"region": "nowhere"}).status_code == 404
    for who, status in (("oscar", 403), ("mallory", 404)):
        assert tree.cast.browser(who).post(f"{url}?region=lab", {"instances": "99"}).status_code == status
    assert tree.cast.browser("adam").get(reverse("projects:limits", args=[tree.cast.project.pk])).status_code == 403


def test_less_than_is_used_is_taken_and_said(tree: Tree) -> None:
    tree.cast.key("alice", project=tree.shop)
    url = reverse("projects:limits", args=[tree.shop.pk])
    text = tree.cast.browser("adam").post(url, {"api_keys": "0"}, follow=True).content.decode()
    assert "API keys: 1 are used already, more than 0." in text


def test_from_a_refusal_to_a_granted_request(tree: Tree, settings: Any) -> None:
    from compute.network.models import Fabric

    Fabric.objects.create(region=tree.cast.region, driver="simulated", uri="simulated:memory/quotas")
    tree.limit(tree.shop, 0, "vpcs")
    with pytest.raises(QuotaExceeded) as refused:
        create_vpc(tree.shop, tree.cast.region, name="net", actor=tree.cast.adam)
    link = asks_for_more(refused.value)
    form = tree.cast.browser("adam").get(link)
    assert form.context["form"].initial == {
        "scope": f"project:{tree.shop.pk}", "resource": "vpcs", "region": tree.cast.region}
    sent = tree.cast.browser("adam").post(link, {
        "scope": f"project:{tree.shop.pk}", "resource": "vpcs", "region": str(tree.cast.region.pk), "wanted": "2",
        "reason": "<b>x"})
    assert sent.status_code == 302
    row = QuotaRequest.objects.get()
    url = reverse("quota_requests:detail", args=[row.pk])
    seen = tree.cast.browser("vera").get(url).content.decode()
    assert "&lt;b&gt;x" in seen and "<b>x" not in seen and "Raise the limit" not in seen
    assert "1 request for a higher limit" in tree.cast.browser("adam").get(reverse("dashboard")).content.decode()
    assert "request for a higher limit" not in tree.cast.browser("vera").get(reverse("dashboard")).content.decode()
    answers = reverse("quota_requests:grant", args=[row.pk])
    assert tree.cast.browser("adam").post(answers, {"granted": "0"}).status_code == 400
    assert tree.cast.browser("adam").post(answers, {"granted": "2", "answer": ""}).status_code == 302
    assert tree.cast.browser("adam").post(answers, {"granted": "3", "answer": ""}).status_code == 409
    assert create_vpc(tree.shop, tree.cast.region, name="net", actor=tree.cast.adam).name == "net"


def test_the_inbox_shows_what_waits_for_the_reader(tree: Tree) -> None:
    tree.limit(tree.cast.organization, 2)
    tree.limit(tree.shop, 2)
    for scope in (tree.cast.organization, tree.shop):
        tree.ask("alice", scope)
    url = reverse("quota_requests:list")
    shown = {who: tree.cast.browser(who).get(url, {"for": "mine"}).content.decode().count("/quota-requests/") for who in (
        "alice", "root", "vera")}
    assert shown["root"] > shown["alice"] > shown["vera"]
    assert "1 request for a higher limit waits" in tree.cast.browser("root").get(reverse("dashboard")).content.decode()
    assert "Acme asks for a higher limit" in tree.cast.browser("root").get(reverse("admin:index")).content.decode()


def test_operators_answer_in_admin(tree: Tree) -> None:
    tree.limit(tree.cast.organization, 2)
    tree.ask("alice", tree.cast.organization)
    row = QuotaRequest.objects.get()
    url = reverse("admin:tenants_quotarequest_changelist")
    tree.cast.browser("root").post(url, {"action": "grant", "_selected_action": [str(row.pk)], "confirmed": "1"})
    row.refresh_from_db()
    assert row.state == "granted" and limits.limit_of(tree.cast.organization, tree.cast.region, "instances") == 9


def test_both_sides_are_told(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, set[str]] = {}
    for kind in quota_notices.KINDS:
        assert registry.notices[kind.name] is kind

    def hear(event: Any) -> None:
        for kind in quota_notices.KINDS:
            if event.action in kind.acts:
                told.setdefault(event.action, set()).update(kind.receivers(event).values_list("username", flat=True))

    monkeypatch.setattr(registry, "audit_hooks", [*registry.audit_hooks, hear])
    for scope in (tree.till, tree.cast.project, tree.cast.organization):
        tree.limit(scope, 2)
    tree.ask("tilda", tree.till)
    row = QuotaRequest.objects.get()
    assert told.pop("quota.request") == {"adam", "alice"}
    quota_requests.refuse(row, answer="no", actor=tree.cast.adam)
    assert told.pop("quota.refuse") == {"tilda"}
    tree.ask("oscar", tree.cast.project)
    assert told.pop("quota.request") == {"alice"}
    tree.ask("alice", tree.cast.organization)
    assert told.pop("quota.request") == {"root"}


def test_chinese(tree: Tree) -> None:
    browser = tree.cast.browser("root")
    tree.limit(tree.shop, 2)
    tree.ask("alice", tree.shop)
    for name, pk in (("quota_requests:list", None), ("quota_requests:create", None), ("projects:limits", tree.shop.pk),
                     ("organizations:quotas", tree.cast.organization.pk),
                     ("quota_requests:detail", QuotaRequest.objects.get().pk)):
        answer = browser.get(reverse(name, args=[pk] if pk else []), headers={"Accept-Language": "zh-hans"})
        assert answer.status_code == 200 and 'lang="zh' in answer.content.decode()
