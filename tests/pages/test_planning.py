"""Which statements PostgreSQL keeps a plan of: those that everybody sends, not those that depend on what is filtered by."""
import pytest
from django.db import connection
from django.urls import reverse

from portal.kernel.planning import planned_by_values
from tests.cast import Cast, make_cast

# More often than a text must come before it is kept.
OFTEN = 8


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def test_inside_the_block_nothing_is_kept(db: None) -> None:
    def say(text: str) -> None:
        with connection.cursor() as cursor:
            for number in range(OFTEN):
                cursor.execute(text, [number])

    with planned_by_values():
        say("SELECT %s AS inside")
    say("SELECT %s AS outside")
    assert not kept("AS inside")
    assert kept("AS outside")


def test_what_fails_inside_the_block_changes_nothing_for_others(db: None) -> None:
    connection.ensure_connection()
    before = connection.connection.prepare_threshold
    with pytest.raises(ZeroDivisionError), planned_by_values():
        1 / 0  # noqa: B018
    assert before and connection.connection.prepare_threshold == before


@pytest.mark.parametrize(("who", "name", "of_the_list"), [
    ("alice", "instances:list", "SELECT count(*) FROM (SELECT %\"state\" = %"),
    ("alice", "volumes:list", "%storage_volume%\"state\" = %LIMIT%"),
    ("alice", "instance-list", "%instances_instance%\"state\" IN (%LIMIT%"),
    ("root", "admin:instances_instance_changelist", "%instances_instance%\"state\" = %LIMIT%")])
def test_a_list_by_a_state_is_planned_for_that_state(cast: Cast, who: str, name: str, of_the_list: str) -> None:
    client = cast.api(who) if name.endswith("-list") else cast.browser(who)
    state = {"state__exact" if name.startswith("admin:") else "state": "error"}
    for _time in range(OFTEN):
        assert client.get(reverse(name), state).status_code == 200
    assert kept('FROM "tenants_user"')
    assert not kept(of_the_list)


def test_a_list_of_the_api_without_a_filter_is_planned_once(cast: Cast) -> None:
    for _time in range(OFTEN):
        assert cast.api("alice").get(reverse("instance-list"), {"limit": "3"}).status_code == 200
    assert kept("%instances_instance%LIMIT%")


def kept(part: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE statement LIKE %s)", [f"%{part}%"])
        return cursor.fetchone()[0]
