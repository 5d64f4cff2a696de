"""A lab of the tests' own, its name derived from this checkout, so that it never meets the lab of `make run`."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from compute.lab import HostFacts, Lab
from compute.lab.image import DemoImage, build
from tests.lab.guests import Guests

ROOT = Path(__file__).resolve().parents[2]
libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture(scope="session")
def image() -> DemoImage:
    """The demo image, from the cache that all stages share."""
    return build(ROOT / "var/cache/demo-image")


def _lab(purpose: str, *, hosts: int | None = None) -> Lab:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    here = hashlib.sha256(str(ROOT).encode()).hexdigest()[:4]
    return Lab(f"test-{purpose}{worker}-{here}", ROOT / "var/labtests" / f"{purpose}{worker}", hosts=hosts)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A running lab of the usual size; what a killed earlier run left of it is removed first."""
    lab = _lab("lab")
    lab.down()
    shutil.rmtree(lab.directory)
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def second_lab() -> Iterator[Lab]:
    """Another lab, of one host and not yet up, for tests that take it down."""
    lab = _lab("second", hosts=1)
    lab.down()
    shutil.rmtree(lab.directory)
    yield lab
    lab.down()


@pytest.fixture
def host(lab: Lab) -> HostFacts:
    """The lab's first host, alive."""
    return lab.up()[0]


@pytest.fixture
def connection(host: HostFacts) -> Iterator[libvirt.virConnect]:
    """libvirt on the host, over SSH."""
    connection = libvirt.open(host.uri)
    yield connection
    connection.close()


@pytest.fixture
def guests(host: HostFacts, connection: libvirt.virConnect, image: DemoImage) -> Iterator[Guests]:
    """A maker of guests, which clears its own away."""
    guests = Guests(host=host, connection=connection, image=image)
    yield guests
    guests.remove()
