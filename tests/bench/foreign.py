"""Whether the clock tells what is somebody else's from what does not exist: a stranger asks for both in turns.

`tests/portal/test_foreign_and_absent.py` holds that the statements are the same; here is what is left of a difference. The two
halves of the asking about absent ids, compared in the same way, are what the machine itself makes of nothing.
"""
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.bench import databases
from tests.bench.figures import Figure, median

PAIRS, MOST, ROUTES = 400, 1.1, ("instance", "volume", "vpc", "operation", "project", "member")


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(4):
        return _measured()


def _measured() -> list[Figure]:
    from django.test import override_settings
    from django.urls import reverse

    from compute.instances.models import Instance
    from compute.network.models import Vpc
    from portal.kernel.models import Operation
    from storage.models import Volume
    from tenants.models import Project, User
    from tests.cast import UNLIMITED, make_cast
    from tests.portal.scenery import make_scene

    cast = make_cast()
    make_scene(cast)
    models = dict(zip(ROUTES, (Instance, Volume, Vpc, Operation, Project, User), strict=True))
    foreign = {name: cast.alice.pk if model is User else cast.project.pk if model is Project else
               model.objects.filter(project=cast.project).order_by("pk").first().pk for name, model in models.items()}
    client, ratios, noise = cast.browser("mallory"), [], []
    with override_settings(API_RATE=UNLIMITED):
        timed = {name: _pairs(client, lambda asked, name=name: reverse(f"{name}-detail", args=[asked]), pk)
                 for name, pk in foreign.items()}
    for theirs, nobodys in timed.values():
        ratios.append(median(theirs) / median(nobodys))
        noise.append(median(nobodys[::2]) / median(nobodys[1::2]))
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    return [Figure(name=f"foreign id / absent id, medians of {PAIRS} pairs, {len(ROUTES)} kinds: furthest from 1",
                   value=f"{worst:.3f} × (all: {', '.join(f'{ratio:.3f}' for ratio in ratios)})",
                   compared=f"absent / absent: {', '.join(f'{ratio:.3f}' for ratio in noise)}", goal=f"≤ {MOST} ×",
                   met=max(worst, 1 / worst) <= MOST)]


def _pairs(client: Any, address: Callable[[object], str], pk: object) -> tuple[list[float], list[float]]:
    """Seconds of each answer about what is somebody else's, and about what is not there, asked in turns."""
    theirs, nobodys = [], []
    for number in range(-20, PAIRS):
        pair = [(theirs, pk), (nobodys, uuid.uuid4())]
        for times, asked in pair if number % 2 else reversed(pair):
            begun = time.perf_counter()
            assert client.get(address(asked)).status_code == 404
            if number >= 0:
                times.append(time.perf_counter() - begun)
    return theirs, nobodys
