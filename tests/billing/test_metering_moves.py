"""Whatever way a real resource goes through its states, killed on the way or not: what each state meters, and nothing else."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from billing.models import UsageInterval
from compute.instances.models import Instance
from compute.network.models import FloatingIp
from portal.kernel import states
from portal.kernel.models import Resource
from portal.kernel.states import database_now
from storage import operations
from storage.models import GIB, Image, Volume
from tests.billing.test_lifecycles import Killed, Killer, Undo
from tests.network.networked import Networked, add_network
from tests.soak import SEED, SOAKING
from tests.world import make_world

START = datetime(2028, 2, 29, 21, tzinfo=UTC)
FILES = {"disk": {"file": "x.qcow2", "size": GIB}, "kernel": {"file": "x", "size": GIB // 2}}
# What a state meters; None is free, and a state that is not here keeps what was metered before it.
METERS: dict[type[Any], dict[str, tuple[str, str, Decimal] | None]] = {
    Instance: {**{state: (f"instance.{state}", "small", Decimal(1)) for state in (
                   "running", "stopped", "paused", "suspended", "recycled")},
               "rescued": ("instance.running", "small", Decimal(1)), "error": None, "deleting": None, "deleted": None},
    Volume: {"available": ("volume", "fast", Decimal(3)), "in_use": ("volume", "fast", Decimal(3)),
             "error": None, "deleting": None, "deleted": None},
    FloatingIp: {"idle": ("floating_ip.idle", "public", Decimal(1)), "attached": ("floating_ip.attached", "public", Decimal(1)),
                 "released": None},
    Image: {"active": ("image", "standard", Decimal("1.5")), "error": None, "deleted": None},
}
STEPS = st.lists(st.tuples(st.integers(0, 99), st.integers(1, 9), st.integers(0, 25)), min_size=3, max_size=25)


@pytest.fixture
def place(db: None, tmp_path: Path, settings: Any) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path))


def made(kind: type[Any], place: Networked) -> Any:
    """A row in its first state, as its create leaves it."""
    world = place.world
    fields = {
        Instance: {"type": world.type, "vcpus": 1, "memory_mib": 256, "image": world.image, "zone": world.zone,
                   "host": world.host},
        Volume: {"size_gib": 3, "pool_class": "fast"}, FloatingIp: {"pool": place.pool}, Image: {"files": FILES},
    }
    return kind.objects.create(project=world.project, region=world.region, name="x", **fields[kind])


def spans(row: Any) -> list[tuple]:
    rows = UsageInterval.objects.filter(resource_id=row.pk).order_by("start")
    return [((one.meter, one.sku, one.quantity), one.period.lower, one.period.upper) for one in rows]


def move(row: Any, target: str, killed_at: int) -> Any:
    """Another process does it again where one was killed; the row as that one read it."""
    if killed_at:
        try:
            with connection.execute_wrapper(Killer(killed_at)), transaction.atomic():
                row.move_to(target)
            return row
        except Killed:
            row = type(row).objects.get(pk=row.pk)
    row.move_to(target)
    return row


@pytest.mark.parametrize("kind", METERS)
def test_every_way_through_the_states_is_metered(place: Networked, kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [START]
    monkeypatch.setattr(states, "database_now", lambda: clock[0])

    @seed(SEED)
    @settings(max_examples=1000 if SOAKING else 15, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def walk(steps: list[tuple[int, int, int]]) -> None:
        with pytest.raises(Undo), transaction.atomic():
            clock[0], row, expected, taken = START, made(kind, place), [], None
            for choice, minutes, killed_at in steps:
                targets = sorted(kind.MOVES[row.state])
                if not targets:
                    break
                clock[0] += timedelta(minutes=minutes)
                row = move(row, target := targets[choice % len(targets)], killed_at)
                wanted = METERS[kind].get(target, taken)
                if wanted != taken:
                    if taken:
                        expected[-1] = (*expected[-1][:2], clock[0])
                    if wanted:
                        expected.append((wanted, clock[0], None))
                taken = wanted
            assert spans(row) == expected
            raise Undo

    walk()


def test_an_image_costs_its_project_while_it_is_its_own(place: Networked) -> None:
    """As a public one it is the platform's offer."""
    image = made(Image, place)
    image.move_to("importing")
    assert spans(image) == []
    image.move_to("active")
    operations.set_image_visibility(image, Image.Visibility.PUBLIC, actor=None)
    operations.set_image_visibility(image, Image.Visibility.PUBLIC, actor=None)
    [(reading, _start, end)] = spans(image)
    assert (reading, end is None) == (("image", "standard", Decimal("1.5")), False)
    operations.set_image_visibility(image, Image.Visibility.PRIVATE, actor=None)
    operations.retire_image(image, actor=None)
    assert [end <= database_now() for _reading, _start, end in spans(image)] == [True, True]
    assert Resource.objects.get(pk=image.pk).deleted_at is not None
