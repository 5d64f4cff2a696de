"""Moving, archiving and naming projects: what stands where afterwards, and what is refused."""
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.kernel.declarations import QuotaDimension, registry
from portal.kernel.errors import InvalidInput, NotFound, QuotaExceeded
from portal.kernel.models import AuditEvent, Resource
from portal.kernel.states import database_now
from tenants import operations, quotas, structure
from tenants.access import Grants
from tenants.errors import ProjectArchived
from tenants.models import FormerPlace, Project, Quota, User
from tenants.roles import bind
from tests.cast import Cast


def make(cast: Cast, name: str, parent: Project | None = None) -> Project:
    return operations.create_project(cast.organization, name, actor=cast.alice, parent=parent)


def trail(action: str) -> AuditEvent:
    return AuditEvent.objects.get(action=action)


def path_of(project: Project) -> list[str]:
    return Project.objects.get(pk=project.pk).path


def ids(*projects: Project) -> list[str]:
    return [str(project.pk) for project in projects]


def test_a_project_takes_all_below_it_along(cast: Cast) -> None:
    a, b = make(cast, "a"), make(cast, "b")
    child = make(cast, "child", a)
    leaf = make(cast, "leaf", child)
    moved = structure.move_project(child, actor=cast.alice, parent=b)
    assert moved.parent == b and path_of(child) == ids(b, child)
    assert path_of(leaf) == ids(b, child, leaf) and path_of(a) == ids(a)
    event = trail("project.move")
    assert event.before["parent"] == "a" and event.after["parent"] == "b" and event.after["parent_id"] == str(b.pk)
    structure.move_project(child, actor=cast.alice, parent=None)
    assert path_of(leaf) == ids(child, leaf) and Project.objects.get(pk=child.pk).parent is None


def test_moving_takes_as_many_statements_whatever_is_below(cast: Cast) -> None:
    def count() -> int:
        a, b = make(cast, f"a{Project.objects.count()}"), make(cast, f"b{Project.objects.count()}")
        for number in range(20 if grown else 1):
            make(cast, f"c{number}", a)
        with CaptureQueriesContext(connection) as captured:
            structure.move_project(a, actor=cast.alice, parent=b)
        return len(captured)

    grown = False
    few = count()
    grown = True
    assert count() == few


def test_it_is_moved_there_already(cast: Cast) -> None:
    parent = make(cast, "a")
    child = make(cast, "child", parent)
    structure.move_project(child, actor=cast.alice, parent=parent)
    assert not AuditEvent.objects.filter(action="project.move").exists() and not FormerPlace.objects.exists()


def test_never_below_itself(cast: Cast) -> None:
    a = make(cast, "a")
    b = make(cast, "b", a)
    c = make(cast, "c", b)
    for parent in (a, b, c):
        with pytest.raises(InvalidInput) as refused:
            structure.move_project(a, actor=cast.alice, parent=parent)
        assert list(refused.value.errors) == ["parent"]
    assert path_of(c) == ids(a, b, c)


def test_never_into_another_organization(cast: Cast) -> None:
    with pytest.raises(InvalidInput):
        structure.move_project(cast.project, actor=cast.alice, parent=cast.rival_project)
    assert path_of(cast.project) == ids(cast.project)


def test_the_deepest_below_counts(cast: Cast) -> None:
    top = chain = make(cast, "1")
    for number in range(2, operations.DEEPEST - 1):
        chain = make(cast, str(number), chain)  # eight deep
    pair = make(cast, "pair")
    triple = make(cast, "third", make(cast, "second", make(cast, "triple")))
    make(cast, "under", pair)
    structure.move_project(pair, actor=cast.alice, parent=chain)  # ten
    with pytest.raises(InvalidInput):
        structure.move_project(Project.objects.get(pk=triple.path[0]), actor=cast.alice, parent=chain)
    with pytest.raises(InvalidInput):
        structure.move_project(top, actor=cast.alice, parent=Project.objects.get(pk=triple.pk))
    assert path_of(top) == ids(top)


def test_a_name_is_once_beside_the_living(cast: Cast) -> None:
    a = make(cast, "a")
    twin = make(cast, "Web", a)
    for change in (lambda: make(cast, "WEB"), lambda: operations.change_project(a, actor=cast.alice, name="wEb"),
                   lambda: structure.move_project(twin, actor=cast.alice, parent=None)):
        with pytest.raises(InvalidInput) as refused, transaction.atomic():
            change()
        assert list(refused.value.errors) == ["name"]
    assert path_of(twin) == ids(a, twin)
    with pytest.raises(IntegrityError), transaction.atomic():
        Project.objects.create(organization=cast.organization, name="web")
    structure.delete_project(cast.project, actor=cast.alice)
    assert make(cast, "web").name == "web"


@pytest.fixture
def use(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A dimension of which projects use what the test says, by their names."""
    monkeypatch.setitem(registry.dimensions, "widgets", QuotaDimension(
        name="widgets", label="Widgets", rows=lambda: Resource.objects.filter(kind="widget")))

    def take(**amounts: int) -> None:
        for name, amount in amounts.items():
            for _number in range(amount):
                Resource.objects.create(kind="widget", name="w", project=Project.objects.get(name=name), region=cast.region)

    return take


def test_what_moves_must_fit_where_it_comes(cast: Cast, use: Callable[..., None]) -> None:
    a, b = make(cast, "a"), make(cast, "b")
    child = make(cast, "child", a)
    make(cast, "leaf", child)
    use(child=2, leaf=3, b=4)
    limit = Quota.objects.create(project=b, region=cast.region, dimension="widgets", limit=8)
    with pytest.raises(QuotaExceeded) as refused, transaction.atomic():
        structure.move_project(child, actor=cast.alice, parent=b)
    assert refused.value.facts == {"resource": "widgets", "scope": "b", "limit": 8, "used": 4, "wanted": 5}
    assert path_of(child) == ids(a, child) and not FormerPlace.objects.exists()
    limit.limit = 9
    limit.save()
    structure.move_project(child, actor=cast.alice, parent=b)
    [line] = [line for line in quotas.lines(b, cast.region) if line.resource == "widgets"]
    assert line.used == 9


def test_a_limit_that_counted_it_before_is_not_asked(cast: Cast, use: Callable[..., None]) -> None:
    top = make(cast, "top")
    a, b = make(cast, "a", top), make(cast, "b", top)
    child = make(cast, "child", a)
    use(child=5)
    Quota.objects.create(project=top, region=cast.region, dimension="widgets", limit=1)  # exceeded since it was lowered
    structure.move_project(child, actor=cast.alice, parent=b)
    assert path_of(child) == ids(top, b, child)


def test_rights_follow_at_once(cast: Cast) -> None:
    a = make(cast, "a")
    child = make(cast, "child", a)
    person = User.objects.create(username="mia")
    bind(person, "viewer", a)
    assert Grants.of_user(person).may("project.view", child.pk)
    structure.move_project(child, actor=cast.alice, parent=None)
    assert not Grants.of_user(person).may("project.view", child.pk)


def test_an_archived_project_takes_nothing_new_nor_does_what_is_below(cast: Cast) -> None:
    child = make(cast, "child", cast.project)
    other = make(cast, "other")
    structure.archive_project(cast.project, actor=cast.alice)
    for project in (cast.project, child):
        for change in (lambda at=project: make(cast, "new", at),
                       lambda at=project: structure.move_project(other, actor=cast.alice, parent=at),
                       lambda at=project: operations.create_api_key(cast.alice, name="k", actor=cast.alice, project=at)):
            with pytest.raises(ProjectArchived) as refused, transaction.atomic():
                change()
            assert refused.value.facts["project"] == "web"
        with pytest.raises(ProjectArchived), transaction.atomic():
            quotas.reserve(project, cast.region, {})
    structure.archive_project(cast.project, actor=cast.alice)
    assert AuditEvent.objects.filter(action="project.archive").count() == 1
    structure.move_project(child, actor=cast.alice, parent=None)  # out of it
    with transaction.atomic():
        quotas.reserve(child, cast.region, {})
    structure.unarchive_project(cast.project, actor=cast.alice)
    structure.unarchive_project(cast.project, actor=cast.alice)
    assert AuditEvent.objects.filter(action="project.unarchive").count() == 1
    with transaction.atomic():
        quotas.reserve(cast.project, cast.region, {})


def test_reserving_sees_where_the_project_stands_now(cast: Cast) -> None:
    """Read before it was moved: what limits it is what is above it now."""
    stale = make(cast, "child", cast.project)
    tight = make(cast, "tight")
    Quota.objects.create(project=tight, region=cast.region, dimension="instances", limit=0)
    structure.move_project(Project.objects.get(pk=stale.pk), actor=cast.alice, parent=tight)
    with pytest.raises(QuotaExceeded) as refused, transaction.atomic():
        quotas.reserve(stale, cast.region, {"instances": 1})
    assert refused.value.facts["scope"] == "tight"


def test_where_a_project_stood_is_known_to_the_second(cast: Cast) -> None:
    a, b = make(cast, "a"), make(cast, "b")
    child = make(cast, "child", a)
    start = database_now()
    structure.move_project(child, actor=cast.alice, parent=b)
    [moved] = FormerPlace.objects.all()
    structure.move_project(child, actor=cast.alice, parent=a)
    _first, back = FormerPlace.objects.all()
    end = database_now() + timedelta(hours=1)
    assert structure.stood_below(a, start, end) == [
        ({child.pk}, start, moved.until), ({a.pk}, start, end), ({child.pk}, back.until, end)]
    assert structure.stood_below(b, start, end) == [({b.pk}, start, end), ({child.pk}, moved.until, back.until)]
    assert structure.stood_below(child, start, end) == [({child.pk}, start, end)]
    assert structure.stood_below(b, back.until, end) == [({b.pk}, back.until, end)]


def test_verbs_on_what_is_deleted_find_nothing(cast: Cast) -> None:
    child = make(cast, "child")
    structure.delete_project(child, actor=cast.alice)
    for verb in (structure.archive_project, structure.unarchive_project, structure.delete_project):
        with pytest.raises(NotFound):
            verb(child, actor=cast.alice)
    with pytest.raises(NotFound):
        structure.move_project(child, actor=cast.alice, parent=cast.project)
    with pytest.raises(NotFound), transaction.atomic():
        structure.move_project(cast.project, actor=cast.alice, parent=child)
    with pytest.raises(NotFound), transaction.atomic():
        quotas.reserve(child, cast.region, {})


def test_namesakes_of_before_the_rule_get_numbers(cast: Cast) -> None:
    """As the migration finds them: the oldest keeps its name, and no number is taken twice."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX project_name_once")
    for name in ("web (2)", "WEB", "web"):
        Project.objects.create(organization=cast.organization, name=name)
    Project.objects.create(organization=cast.rival_organization, name="web")
    import_module("tenants.migrations.0004_structure").tell_apart(apps, None)
    names = Project.objects.filter(organization=cast.organization).order_by("created_at").values_list("name", flat=True)
    assert list(names) == ["web", "web (2)", "WEB (3)", "web (4)"]
    assert Project.objects.filter(organization=cast.rival_organization, name="web").exists()
