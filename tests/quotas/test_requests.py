"""Asking for more: who asks, who answers, and what of it races, floods or crosses organizations."""
import re
import threading
import uuid

import pytest
from django.db import connections

from portal.kernel.errors import PortalError
from portal.kernel.models import AuditEvent
from portal.notifications import activity
from tenants import limits, operations, quota_requests, structure
from tenants.models import Project, Quota, QuotaRequest
from tests.cast import make_cast
from tests.quotas.conftest import Tree


def asked(tree: Tree, who: str, scope: object, wanted: int = 9) -> str:
    answer = tree.ask(who, scope, wanted)
    assert answer.status_code == 201, answer.json()
    return answer.json()["id"]


def test_granting_sets_the_limit(tree: Tree) -> None:
    tree.limit(tree.till, 2)
    pk = asked(tree, "tilda", tree.till)
    assert tree.act("tilda", pk, "grant").status_code == 403  # nobody grants their own
    answer = tree.act("adam", pk, "grant", answer="Have fun").json()
    assert (answer["state"], answer["granted"], answer["answer"], answer["decided_by"]) == (
        "granted", 9, "Have fun", str(tree.cast.adam.pk))
    assert limits.limit_of(tree.till, tree.cast.region, "instances") == 9
    assert set(AuditEvent.objects.filter(action__startswith="quota.").values_list("action", "project")) == {
        ("quota.request", tree.till.pk), ("quota.grant", tree.till.pk)}


def test_a_part_of_it(tree: Tree) -> None:
    tree.limit(tree.till, 2)
    pk = asked(tree, "tilda", tree.till)
    for wrong in (2, 1):
        answer = tree.act("adam", pk, "grant", granted=wrong)
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["granted"]
    assert QuotaRequest.objects.get().state == "open"
    assert tree.act("adam", pk, "grant", granted=5).json()["state"] == "partly"
    assert limits.limit_of(tree.till, tree.cast.region, "instances") == 5


def test_refusing_needs_words_and_leaves_the_limit(tree: Tree) -> None:
    tree.limit(tree.till, 2)
    pk = asked(tree, "tilda", tree.till)
    assert tree.act("adam", pk, "refuse").status_code == tree.act("adam", pk, "refuse", answer="  ").status_code == 400
    assert tree.act("adam", pk, "refuse", answer="No money").json()["state"] == "refused"
    assert limits.limit_of(tree.till, tree.cast.region, "instances") == 2
    for verb in ("grant", "withdraw"):
        assert tree.act("alice", pk, verb).status_code == 409
    assert tree.act("alice", pk, "refuse", answer="Twice").json()["code"] == "state_conflict"


def test_an_organizations_request_is_the_operators(tree: Tree) -> None:
    tree.limit(tree.cast.organization, 2)
    assert tree.ask("adam", tree.cast.organization).status_code == 403  # of one project alone
    pk = asked(tree, "alice", tree.cast.organization)
    assert tree.act("alice", pk, "grant").status_code == 403
    assert tree.act("adam", pk, "grant").status_code == 404
    assert tree.act("root", pk, "grant").status_code == 200
    assert limits.limit_of(tree.cast.organization, tree.cast.region, "instances") == 9


def test_who_sees_and_who_is_asked(tree: Tree) -> None:
    for scope in (tree.till, tree.shop, tree.cast.project, tree.cast.organization):
        tree.limit(scope, 2)
    of = {name: asked(tree, who, scope) for name, who, scope in (
        ("till", "tilda", tree.till), ("shop", "oscar", tree.shop), ("web", "oscar", tree.cast.project),
        ("Acme", "alice", tree.cast.organization))}
    names = {pk: name for name, pk in of.items()}
    sees = {who: {names[row["id"]] for row in tree.cast.api(who).get("/api/v1/quota-requests/").json()["results"]}
            for who in ("alice", "adam", "vera", "tilda", "mallory", "root")}
    everything = {"till", "shop", "web", "Acme"}
    assert sees == {"alice": everything, "root": everything, "adam": {"till", "shop", "web"}, "vera": {"till", "shop", "web"},
                    "tilda": {"till"}, "mallory": set()}
    inbox = {who: {names[str(one.pk)] for one in QuotaRequest.objects.open().decided_by(tree.cast.people[who])}
             for who in sees}
    assert inbox == {"alice": {"till", "shop", "web"}, "root": everything, "adam": {"till", "shop"}, "vera": set(),
                     "tilda": set(), "mallory": set()}
    told = {who: activity(tree.cast.people[who]).requests for who in sees}
    assert told == {who: len(waiting) for who, waiting in inbox.items()}, "as the navigation says"
    page = tree.cast.browser("adam").get("/profile/").content.decode()
    assert re.search(r'Quota requests</span><span class="count"[^>]*>2</span>', page)
    assert 'class="count"' not in tree.cast.browser("vera").get("/profile/").content.decode()


def test_only_who_may_ask_withdraws(tree: Tree) -> None:
    tree.limit(tree.shop, 2)
    pk = asked(tree, "oscar", tree.shop)
    assert [tree.act(who, pk, "withdraw").status_code for who in ("mallory", "vera", "tilda")] == [404, 403, 404]
    assert tree.act("oscar", pk, "withdraw").json()["state"] == "withdrawn"
    again = asked(tree, "oscar", tree.shop)  # it may be asked anew
    assert tree.act("adam", again, "withdraw").status_code == 200
    with pytest.raises(PortalError):
        quota_requests.withdraw(QuotaRequest.objects.get(pk=again), actor=tree.cast.oscar)


@pytest.mark.parametrize(("change", "field"), [
    ({"wanted": 2}, "wanted"), ({"wanted": 0}, "wanted"), ({"wanted": 2**63}, "wanted"), ({"wanted": "many"}, "wanted"),
    ({"resource": "unicorns"}, "resource"), ({"resource": "vcpus"}, "resource"), ({"resource": "api_keys"}, "region"),
    ({"region": None}, "region"), ({"reason": ""}, "reason"), ({"reason": "x" * 501}, "reason"), ({"project": None}, "project")],
    ids=str)
def test_bad_requests_are_named(tree: Tree, change: dict, field: str) -> None:
    tree.limit(tree.till, 2)
    answer = tree.ask("tilda", tree.till, **change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), answer.json()


def test_ids_of_others_are_as_absent(tree: Tree) -> None:
    tree.limit(tree.cast.rival_project, 2)
    tree.limit(tree.shop, 2)
    pk = asked(tree, "adam", tree.shop)
    for scope in (tree.cast.rival_project, tree.cast.rival_organization):
        hidden = tree.ask("alice", scope)
        absent = tree.ask("alice", type(scope)(pk=uuid.uuid4()))
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["errors"] == absent.json()["errors"]
    assert tree.ask("alice", tree.shop, region=str(uuid.uuid4())).status_code == 404
    for verb in ("grant", "refuse", "withdraw"):
        assert tree.act("mallory", pk, verb, **({"answer": "x"} if verb == "refuse" else {})).status_code == 404
    assert tree.ask("tilda", tree.shop).status_code == 404  # what is above her own project
    both = tree.ask("alice", tree.shop, organization=str(tree.cast.organization.pk))
    assert both.status_code == 400


def test_one_open_request_for_each_limit_and_so_many_in_all(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("instances", "vcpus", "volumes"):
        tree.limit(tree.till, 2, name)
    asked(tree, "tilda", tree.till)
    again = tree.ask("adam", tree.till, 20)
    assert (again.status_code, again.json()["code"]) == (409, "already_asked")
    monkeypatch.setattr(quota_requests, "MOST_OPEN", 2)
    assert tree.ask("tilda", tree.till, resource="vcpus").status_code == 201
    full = tree.ask("tilda", tree.till, resource="volumes")
    assert (full.status_code, full.json()["resource"]) == (409, "quota_requests")
    # Asking and withdrawing in a circle ends as well.
    monkeypatch.setattr(quota_requests, "MOST_A_DAY", 2)
    tree.act("tilda", str(QuotaRequest.objects.first().pk), "withdraw")
    assert tree.ask("tilda", tree.till, resource="volumes").status_code == 409


def test_what_was_moved_is_answered_by_who_is_above_it_now(tree: Tree) -> None:
    tree.limit(tree.till, 2)
    request = QuotaRequest.objects.get(pk=asked(tree, "tilda", tree.till))
    stale = QuotaRequest.objects.select_related("project__parent").get(pk=request.pk)
    structure.move_project(tree.till, actor=tree.cast.alice, parent=None)
    with pytest.raises(PortalError) as refused:
        quota_requests.grant(stale, actor=tree.cast.adam)  # read before the move
    assert refused.value.status == 403
    assert quota_requests.grant(request, actor=tree.cast.alice).state == "granted"


def test_what_is_deleted_is_not_asked_about_any_more(tree: Tree) -> None:
    tree.limit(tree.till, 2)
    request = QuotaRequest.objects.get(pk=asked(tree, "tilda", tree.till))
    structure.delete_project(tree.till, actor=tree.cast.alice)
    assert not QuotaRequest.objects.open().exists()
    assert tree.act("adam", str(request.pk), "grant").status_code == 404
    assert tree.act("root", str(request.pk), "grant").status_code == 404


def test_a_limit_that_was_lifted_meanwhile_stays_lifted(tree: Tree) -> None:
    limit = tree.limit(tree.till, 2)
    pk = asked(tree, "tilda", tree.till)
    limit.delete()
    assert tree.act("adam", pk, "grant").status_code == 200
    assert not Quota.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_wins() -> None:
    cast = make_cast()
    shop = operations.create_project(cast.organization, "shop", actor=None, parent=cast.project)
    tree = Tree(cast, shop, shop)
    for turn in range(4):
        Quota.objects.filter(project=shop).delete()
        tree.limit(shop, 2)
        pk, outcomes, ready = asked(tree, "oscar", shop), [], threading.Barrier(2)

        def decide(who: str, verb: str, body: dict, pk: str = pk, outcomes: list = outcomes,
                   ready: threading.Barrier = ready) -> None:
            ready.wait()
            try:
                outcomes.append((tree.act(who, pk, verb, **body).status_code, verb))
            finally:
                connections.close_all()

        acts = [("adam", "grant", {}), ("alice", "refuse" if turn % 2 else "grant", {"answer": "no"})]
        threads = [threading.Thread(target=decide, args=one) for one in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(code for code, _verb in outcomes) == [200, 409]
        won = next(verb for code, verb in outcomes if code == 200)
        assert limits.limit_of(Project.objects.get(pk=shop.pk), cast.region, "instances") == (9 if won == "grant" else 2)
