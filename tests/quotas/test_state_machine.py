"""Whatever is done to a tree of projects, in whatever order: what is used, allowed and refused is what a model of two pages says.

Some hundred steps here, the same every time; `make soak` takes 10,000. What fails is told at once, not made smaller first.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule, run_state_machine_as_test

from portal.kernel.errors import InvalidInput, PortalError
from portal.kernel.models import Region
from storage.models import Volume
from tenants import operations, quotas, structure
from tenants.limits import Limit, set_limits
from tenants.models import Organization, Project, User
from tests.soak import SOAKING

STEPS, EXAMPLES = (100, 200) if SOAKING else (50, 5)
DIMENSIONS = {"volumes": True, "volume_gib": True, "api_keys": False}
MOST_PROJECTS = 9
taken_steps: Counter[str] = Counter()


@dataclass
class Place:
    """A project as the model knows it."""

    pk: UUID
    parent: "Place | None"
    archived: bool = False
    gone: bool = False

    @property
    def path(self) -> list["Place"]:
        return [*(self.parent.path if self.parent else []), self]


@dataclass(eq=False)
class Thing:
    """What takes something: a volume, or a key."""

    row: Any
    place: Place
    takes: dict[str, int]
    gone: bool = False


class Quotas(RuleBasedStateMachine):
    """The real verbs beside the model."""

    places, things = Bundle("places"), Bundle("things")
    region: ClassVar[Region]
    root: ClassVar[User]

    @initialize(target=places, limits=st.lists(st.tuples(
        st.integers(0, 4), st.sampled_from(sorted(DIMENSIONS)), st.integers(1, 3)), min_size=5, max_size=8))
    def begin(self, limits: list[tuple[int, str, int]]) -> Any:
        """Four projects, each below the last, with limits here and there."""
        self.organization: Organization = operations.create_organization("Acme", owner=self.root, actor=None)
        self.limits: dict[tuple[UUID, str], int | None] = {}
        self.all: list[Thing] = []
        self.known: list[Place] = []
        chain: list[Place] = []
        for _level in range(4):
            chain.append(self._project(chain[-1] if chain else None))
        for level, name, limit in limits:
            self.set_it(([None, *chain])[level], name, limit, is_default=False)
        return multiple(*chain)

    # -- the model --

    def used(self, scope: Place | None, dimension: str) -> int:
        return sum(one.takes.get(dimension, 0) for one in self.all
                   if not one.gone and (scope is None or scope in one.place.path))

    def limit(self, scope: Place | None, dimension: str) -> int | None:
        return self.limits.get((scope.pk if scope else self.organization.pk, dimension))

    def refusal(self, place: Place, wanted: dict[str, int]) -> str:
        """The code with which something new is refused; empty when it is not."""
        if place.gone:
            return "not_found"
        if any(one.archived for one in place.path):
            return "project_archived"
        over = any(limit is not None and self.used(scope, name) + amount > limit for scope in (None, *place.path)
                   for name, amount in wanted.items() if (limit := self.limit(scope, name)) is not None)
        return "quota_exceeded" if over else ""

    # -- the two beside each other --

    def same(self, expected: str, verb: Any) -> Any:
        """Do it; both say the same. None where it was refused."""
        taken_steps[expected or "done"] += 1
        try:
            with transaction.atomic():
                made = verb()
        except PortalError as error:
            assert error.code == expected, (error.code, expected, error.facts)
            return None
        assert expected == "", f"not refused with {expected}"
        return made

    def compare(self, *places: Place | None) -> None:
        for place in places:
            for region in (self.region, None):
                names = [name for name, regional in DIMENSIONS.items() if regional == (region is not None)]
                found = quotas.organization_lines(self.organization, region) if place is None else quotas.lines(
                    Project.objects.select_related("organization").get(pk=place.pk), region)
                scope_id = place.pk if place else self.organization.pk
                real = {line.resource: (line.used, line.limit) for line in found
                        if line.scope_id == scope_id and line.resource in names}
                assert real == {name: (self.used(place, name), self.limit(place, name)) for name in names}

    def _project(self, parent: Place | None) -> Place:
        above = Project.objects.get(pk=parent.pk) if parent else None
        made = operations.create_project(self.organization, f"p{len(self.known)}", actor=None, parent=above)
        place = Place(made.pk, parent)
        self.known.append(place)
        return place

    def _real(self, place: Place) -> Project:
        return Project.objects.select_related("organization", "parent").get(pk=place.pk)

    # -- steps --

    @rule(target=places, parent=places)
    def create_project(self, parent: Place) -> Any:
        if len(self.known) >= MOST_PROJECTS or parent.gone or any(one.archived for one in parent.path):
            return multiple()
        return self._project(parent)

    @rule(target=places)
    def create_at_the_top(self) -> Any:
        return self._project(None) if len(self.known) < MOST_PROJECTS else multiple()

    @rule(place=st.none() | places, name=st.sampled_from(sorted(DIMENSIONS)),
          limit=st.none() | st.integers(0, 9), is_default=st.booleans())
    def set_limit(self, place: Place | None, name: str, limit: int | None, is_default: bool) -> None:
        self.set_it(place, name, limit, is_default=is_default)

    def set_it(self, place: Place | None, name: str, limit: int | None, *, is_default: bool) -> None:
        wanted = Limit(resource=name, region=self.region if DIMENSIONS[name] else None, limit=limit, is_default=is_default)
        scope = self._real(place) if place else self.organization
        over = self.same("not_found" if place and place.gone else "", lambda: set_limits(scope, [wanted], actor=self.root))
        if over is None:
            return
        self.limits[scope.pk, name] = None if is_default else limit
        assert [line.resource for line in over] == (
            [name] if not is_default and limit is not None and self.used(place, name) > limit else [])
        self.compare(place)

    @rule(target=things, place=places, gib=st.integers(1, 4))
    def create_volume(self, place: Place, gib: int) -> Any:
        takes = {"volumes": 1, "volume_gib": gib}
        project = self._real(place)

        def make() -> Volume:
            quotas.reserve(project, self.region, takes)
            return Volume.objects.create(project=project, region=self.region, name="v", size_gib=gib, state="available")

        return self._made(place, takes, self.same(self.refusal(place, takes), make))

    @rule(target=things, place=places)
    def create_key(self, place: Place) -> Any:
        takes = {"api_keys": 1}
        project = self._real(place)
        made = self.same(self.refusal(place, takes), lambda: operations.create_api_key(
            self.root, name="k", actor=self.root, project=project))
        return self._made(place, takes, made and made[0])

    def _made(self, place: Place, takes: dict[str, int], row: Any) -> Any:
        if row is None:
            return multiple()
        self.all.append(thing := Thing(row, place, takes))
        self.compare(None, *place.path)
        return thing

    @rule(thing=things)
    def put_away(self, thing: Thing) -> None:
        """Recycled, or in error: it is there, and counts."""
        if "volumes" in thing.takes and not thing.gone:
            Volume.objects.filter(pk=thing.row.pk).update(state="error")
            self.compare(None, thing.place)

    @rule(thing=consumes(things), really=st.booleans())
    def delete(self, thing: Thing, really: bool) -> None:
        if thing.gone or not really:
            return
        if "volumes" in thing.takes:
            Volume.objects.filter(pk=thing.row.pk).update(deleted_at=Now())
        else:
            operations.revoke_api_key(thing.row, actor=self.root)
        thing.gone = True
        self.compare(None, *thing.place.path)

    @rule(place=places, parent=st.none() | places)
    def move(self, place: Place, parent: Place | None) -> None:
        expected = self._why_not_move(place, parent)
        above = self._real(parent) if parent else None
        if self.same(expected, lambda: structure.move_project(self._real(place), actor=self.root, parent=above)) is not None:
            former, place.parent = place.path, parent
            self.compare(None, *(one for one in {id(one): one for one in (*former, *place.path)}.values()))

    def _why_not_move(self, place: Place, parent: Place | None) -> str:
        if place.gone or (parent and parent.gone):
            return "not_found"
        if parent and any(one.archived for one in parent.path):
            return "project_archived"
        if parent is place.parent:
            return ""
        if parent and place in parent.path:
            return InvalidInput.code
        joined = [one for one in (parent.path if parent else []) if one not in place.path]
        for scope in joined:
            for name in DIMENSIONS:
                limit, comes = self.limit(scope, name), self.used(place, name)
                if limit is not None and comes and self.used(scope, name) + comes > limit:
                    return "quota_exceeded"
        return ""

    @rule(place=places, archived=st.sampled_from([False, False, True]))
    def archive(self, place: Place, archived: bool) -> None:
        verb = structure.archive_project if archived else structure.unarchive_project
        if self.same("not_found" if place.gone else "", lambda: verb(self._real(place), actor=self.root)) is not None:
            place.archived = archived

    @rule(place=places, really=st.booleans())
    def delete_project(self, place: Place, really: bool) -> None:
        inside = [one for one in self.all if place in one.place.path and not one.gone]
        if not inside and (not really or len([one for one in self.known if not one.gone]) < 4):
            return  # or little would be left to play with
        expected = "not_found" if place.gone else "not_empty" if any("volumes" in one.takes for one in inside) else ""
        self.same(expected, lambda: structure.delete_project(self._real(place), actor=self.root) or True)
        if expected:
            return
        above = place.path[:-1]
        for one in inside:  # keys are revoked
            one.gone = True
        for one in self.known:
            one.gone = one.gone or place in one.path
        self.compare(None, *above)


@pytest.mark.django_db
def test_the_real_code_agrees_with_the_model() -> None:
    """Everything in one transaction, which is rolled back."""
    Quotas.region = Region.objects.create(slug="lab", name="Lab")
    Quotas.root = User.objects.create(username="root", is_superuser=True)
    operations.MOST_KEYS, kept = 100_000, operations.MOST_KEYS
    taken_steps.clear()
    try:
        run_state_machine_as_test(Quotas, settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, derandomize=not SOAKING,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck)))
    finally:
        operations.MOST_KEYS = kept
    print("steps:", dict(taken_steps), sum(taken_steps.values()))
    assert {"done", "quota_exceeded"} <= set(taken_steps), taken_steps
    assert not SOAKING or set(taken_steps) >= {"project_archived", "not_empty", "not_found", InvalidInput.code}, taken_steps
