"""Fixtures of the page tests: a world on the simulated driver, browsers without a script."""
from collections.abc import Callable

import pytest
from django.test import Client

from portal.kernel import remembered
from tests.network.networked import Networked, add_network
from tests.world import World, make_world


@pytest.fixture
def world(db: None, tmp_path, settings) -> World:
    remembered.forget()  # of another world
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    # What is collected does not matter here; hashes need a collected tree.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return make_world(tmp_path)


@pytest.fixture
def networked(world: World) -> Networked:
    """The same world with networks."""
    return add_network(world)


@pytest.fixture
def browser(world: World) -> Callable[..., Client]:
    """A browser without JavaScript, signed in as somebody, in a language."""

    def signed_in(name: str = "adam", language: str = "en") -> Client:
        client = Client(headers={"accept-language": language})
        client.force_login(world.people[name])
        return client

    return signed_in
