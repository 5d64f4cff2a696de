"""Who hears of what by mail: those whom it concerns, as they chose, at the address that they proved, by the rights of then."""
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.notices import dispatch, preferences
from portal.notices.models import Letter, Notice, Preferences
from tenants import operations, people
from tenants.models import Organization, User
from tenants.roles import bind, unbind
from tests.cast import Cast
from tests.notifications.conftest import ended
from tests.tenants.people.conftest import fresh

Told = Callable[[User], list[str]]


def test_whoever_is_given_or_loses_a_role_is_told_at_once_and_nobody_else(cast: Cast, told: Told) -> None:
    binding = people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    people.take_role(binding, actor=fresh(cast.alice))
    assert told(cast.vera) == ["[Mains] alice gave you a role in Acme / web: Operator.",
                               "[Mains] alice took a role in Acme / web away from you: Operator."]
    assert {message.to[0] for message in mail.outbox} == {"vera@example.org"}


def test_a_groups_role_is_told_to_its_members(cast: Cast, told: Told) -> None:
    group = people.create_group(cast.organization, "night shift", actor=fresh(cast.alice))
    people.add_to_group(group, cast.vera, actor=fresh(cast.alice))
    people.give_role("viewer", cast.project, to=group, actor=fresh(cast.alice))
    assert told(cast.vera) == ["[Mains] alice added you to the group “night shift” of Acme.",
                               "[Mains] alice gave you a role in Acme / web: Viewer."]
    assert told(cast.oscar) == []


def test_whoever_is_put_out_hears_of_that_and_of_nothing_that_comes_after(cast: Cast, told: Told) -> None:
    preferences.choose(cast.vera, mails={"operation.failed": "now"}, actor=cast.vera)
    ended(cast)
    people.remove_member(cast.vera, cast.organization, actor=fresh(cast.alice))
    assert told(cast.vera) == ["[Mains] alice removed you from Acme."]
    assert Letter.objects.get(state="dropped").user == cast.vera


def test_owners_hear_of_suspension_although_it_takes_their_rights(cast: Cast, told: Told) -> None:
    from tenants import structure

    structure.suspend_organization(cast.organization, reason="unpaid bills", while_suspended="keep", actor=cast.root)
    assert told(cast.alice) == ["[Mains] Acme was suspended: unpaid bills"]
    assert told(cast.adam) == told(cast.mallory) == []


def test_both_owners_hear_that_it_was_handed_over(cast: Cast, told: Told) -> None:
    bind(cast.adam, "admin", cast.organization)
    people.transfer_ownership(cast.organization, to=cast.adam, actor=fresh(cast.alice))
    assert told(cast.alice) == told(cast.adam) == ["[Mains] Acme was handed over to another owner by alice."]


def test_a_new_key_is_told_to_whom_it_speaks_for(cast: Cast, told: Told) -> None:
    operations.create_api_key(cast.vera, name="ci", actor=cast.vera)
    [subject] = told(cast.vera)
    assert "API key" in subject


def test_security_is_told_whatever_was_chosen(cast: Cast, told: Told) -> None:
    fixed = [kind.name for kind in registry.notices.values() if kind.is_fixed]
    assert {"security.account", "security.roles", "security.organization"} <= set(fixed)
    Preferences.objects.create(user=cast.vera, mails=dict.fromkeys(fixed, "never"), silent=fixed)  # as if by hand
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    assert len(told(cast.vera)) == 1


def test_operations_are_told_to_who_asked_for_it_and_may_see_them(cast: Cast, told: Told) -> None:
    for name in ("vera", "mallory"):
        preferences.choose(cast.people[name], mails={"operation.failed": "now"}, actor=cast.people[name])
    preferences.choose(cast.oscar, mails={"operation.own": "now"}, actor=cast.oscar)
    ended(cast, by="oscar")
    ended(cast, by="oscar", state="succeeded")
    ended(cast, by="adam", state="succeeded")
    assert len(told(cast.vera)) == 1 and "failed" in told(cast.vera)[0]
    assert len(told(cast.oscar)) == 2 and told(cast.mallory) == told(cast.alice) == told(cast.adam) == []


def test_one_thing_is_told_once_although_two_kinds_tell_of_it(cast: Cast, told: Told) -> None:
    preferences.choose(cast.alice, mails={"operation.failed": "daily", "operation.own": "now"}, actor=cast.alice)
    ended(cast)
    assert len(told(cast.alice)) == 1 and Notice.objects.filter(user=cast.alice).count() == 1


def test_the_rights_of_the_moment_of_sending_count(cast: Cast, told: Told) -> None:
    preferences.choose(cast.vera, mails={"operation.failed": "now"}, actor=cast.vera)
    ended(cast)
    unbind(cast.vera, "viewer", cast.project)
    assert told(cast.vera) == [] and Letter.objects.get().state == "dropped"


@pytest.mark.parametrize("spoil", ["unproved", "none", "inactive"])
def test_nothing_goes_where_nobody_proved_that_they_read_it(cast: Cast, told: Told, spoil: str) -> None:
    if spoil == "unproved":
        EmailAddress.objects.filter(user=cast.vera).update(verified=False)
    elif spoil == "none":
        EmailAddress.objects.filter(user=cast.vera).delete()
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    if spoil == "inactive":
        User.objects.filter(pk=cast.vera.pk).update(is_active=False)
    assert told(cast.vera) == [] and Letter.objects.get().state == "dropped"


def test_an_address_that_was_changed_and_not_proved_gets_nothing(cast: Cast, told: Told) -> None:
    """What stands with the account is not what counts."""
    User.objects.filter(pk=cast.vera.pk).update(email="thief@example.org")
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    dispatch.run()
    assert [message.to for message in mail.outbox] == [["vera@example.org"]]


def test_what_was_undone_is_not_told(cast: Cast, told: Told) -> None:
    from django.db import transaction

    with transaction.atomic():
        people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
        transaction.set_rollback(True)
    assert told(cast.vera) == [] and not Notice.objects.exists()


def test_a_refused_attempt_is_not_told_as_done(cast: Cast, told: Told) -> None:
    audit.refuse("member.bind", cast.project, actor=cast.mallory, reason="forbidden")
    assert told(cast.vera) == [] and not Notice.objects.exists()


def test_whoever_is_erased_is_told_nothing_more(cast: Cast, told: Told) -> None:
    preferences.choose(cast.vera, mails={"operation.failed": "now"}, time_zone="Asia/Shanghai", actor=cast.vera)
    ended(cast)
    people.delete_account(fresh(cast.vera))
    assert told(cast.vera) == [] and not Notice.objects.filter(user=cast.vera).exists()
    assert not Preferences.objects.filter(user=cast.vera).exists()


def test_those_who_run_it_hear_who_left(cast: Cast, told: Told) -> None:
    preferences.choose(cast.alice, mails={"people": "now"}, actor=cast.alice)
    people.remove_member(cast.oscar, cast.organization, actor=fresh(cast.oscar))
    assert told(cast.alice) == ["[Mains] oscar left Acme."] and told(cast.mallory) == []
    assert Organization.objects.filter(pk=cast.organization.pk).exists()
