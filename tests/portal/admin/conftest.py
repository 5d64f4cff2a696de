"""The permission matrix's scene with a row of every model that admin shows."""
from collections.abc import Iterator

import pytest
from django.db import transaction

from tests.portal.admin.scene import make_rest
from tests.portal.scenery import Scene, standing_scene

PLAIN_FILES = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
               "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    """Made once for a module; each test is rolled back by `undone`, the scene at the end."""
    with standing_scene(django_db_blocker, STORAGES=PLAIN_FILES) as scene:
        scene.ours.update(make_rest(scene.cast, scene.ours))
        yield scene


@pytest.fixture
def undone(scene: Scene) -> Iterator[Scene]:
    """The scene; what the test does to it is taken back."""
    with transaction.atomic():
        yield scene
        transaction.set_rollback(True)
