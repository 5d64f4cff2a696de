"""Two at once, on two connections: no circle, nothing new in what is gone or archived, and nobody waits for ever."""
import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction

from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network.operations import default_group
from portal.kernel.errors import PortalError
from portal.kernel.models import Resource
from tenants import operations, structure
from tenants.errors import ProjectArchived
from tenants.models import Project
from tests.network.networked import Networked

Verb = Callable[[], object]
ROUNDS = 8


def together(*verbs: Verb) -> list[str]:
    """What each ended with: `done` or the code of its error. What is no error of ours (a deadlock) fails the test."""
    outcomes, unexpected, ready = [""] * len(verbs), [], threading.Barrier(len(verbs))

    def one(number: int) -> None:
        ready.wait()
        try:
            verbs[number]()
            outcomes[number] = "done"
        except PortalError as error:
            outcomes[number] = error.code
        except Exception as error:  # shown by the main thread
            unexpected.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(verbs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert unexpected == []
    return outcomes


def make(net: Networked, name: str, parent: Project | None = None) -> Project:
    return operations.create_project(net.world.project.organization, name, actor=None, parent=parent)


def test_two_moves_make_no_circle(racing: Networked) -> None:
    for number in range(ROUNDS):
        a, b = make(racing, f"a{number}"), make(racing, f"b{number}")
        outcomes = together(lambda a=a, b=b: structure.move_project(a, actor=None, parent=b),
                            lambda a=a, b=b: structure.move_project(b, actor=None, parent=a))
        assert sorted(outcomes) == ["done", "invalid"]
        paths = dict(Project.objects.filter(pk__in=[a.pk, b.pk]).values_list("pk", "path"))
        assert sorted(map(len, paths.values())) == [1, 2] and all(path[-1] == str(pk) for pk, path in paths.items())


def test_paths_are_whole_whatever_moves_at_once(racing: Networked) -> None:
    a, b, c = make(racing, "a"), make(racing, "b"), make(racing, "c")
    child = make(racing, "child", a)
    leaf = make(racing, "leaf", child)
    together(lambda: structure.move_project(child, actor=None, parent=b), lambda: structure.move_project(a, actor=None, parent=c),
             lambda: structure.move_project(b, actor=None, parent=c), lambda: make(racing, "new", child))
    for project in Project.objects.living():
        above = Project.objects.get(pk=project.parent_id).path if project.parent_id else []
        assert project.path == [*above, str(project.pk)]
    assert Project.objects.get(pk=leaf.pk).path[0] == str(c.pk)


def test_what_is_deleted_gets_nothing_and_what_gets_something_stays(racing: Networked) -> None:
    """Whoever is first: an instance never lives in a deleted project."""
    world, seen = racing.world, set()
    for number in range(ROUNDS):
        made = make(racing, f"p{number}")
        order = world.order(project=made, name=f"i{number}")
        outcomes = together(lambda made=made: structure.delete_project(made, actor=None),
                            lambda order=order: create_instance(order, actor=None))
        seen.add(tuple(outcomes))
        is_gone = Project.objects.get(pk=made.pk).deleted_at is not None
        assert outcomes in (["done", "not_found"], ["not_empty", "done"], ["done", "state_conflict"])
        assert is_gone != Instance.objects.live().filter(project=made).exists()
        assert not (is_gone and Resource.objects.live().filter(project=made).exists())
    assert seen


def test_what_waits_for_a_delete_finds_nothing_and_what_it_waits_for_stays(racing: Networked) -> None:
    """In both orders for certain: the second waits on the first one's lock until it has committed."""
    world = racing.world
    for number, first_deletes in enumerate((True, False)):
        made = make(racing, f"p{number}")
        order = world.order(project=made, name=f"i{number}")
        delete = lambda made=made: structure.delete_project(made, actor=None)  # noqa: E731
        create = lambda order=order: create_instance(order, actor=None)  # noqa: E731
        first, second = (delete, create) if first_deletes else (create, delete)
        outcomes: list[str] = []
        thread = threading.Thread(target=lambda verb=second, found=outcomes: found.extend(together(verb)))
        with transaction.atomic():
            first()
            thread.start()
            thread.join(0.7)
            assert thread.is_alive()  # it does wait
        thread.join(30)
        assert outcomes[0] in (("not_found", "state_conflict") if first_deletes else ("not_empty",))
        assert Instance.objects.live().filter(project=made).exists() != first_deletes


def test_nothing_is_made_after_it_was_archived(racing: Networked) -> None:
    world = racing.world
    for number in range(ROUNDS):
        made = make(racing, f"p{number}")
        order = world.order(project=made, name=f"i{number}")
        outcomes = together(lambda made=made: structure.archive_project(made, actor=None),
                            lambda order=order: create_instance(order, actor=None))
        assert outcomes in (["done", "done"], ["done", ProjectArchived.code])
        assert Instance.objects.filter(project=made).exists() == (outcomes[1] == "done")
        with pytest.raises(ProjectArchived):
            create_instance(order, actor=None)


def test_moving_and_the_first_use_of_a_region_do_not_wait_in_a_circle(racing: Networked) -> None:
    """A default group's maker holds its project before the organization; so does whoever moves."""
    world = racing.world
    for number in range(ROUNDS):
        made, place = make(racing, f"p{number}"), make(racing, f"q{number}")
        Resource.objects.filter(project=made).update(deleted_at="2026-01-01T00:00:00Z")
        outcomes = together(lambda made=made: default_group(made, world.region, actor=None),
                            lambda made=made, place=place: structure.move_project(made, actor=None, parent=place))
        assert outcomes == ["done", "done"]


def test_two_projects_of_one_name_are_one(racing: Networked) -> None:
    for number in range(ROUNDS):
        outcomes = together(lambda name=f"n{number}": make(racing, name), lambda name=f"N{number}": make(racing, name))
        assert sorted(outcomes) == ["done", "invalid"]
