"""Web processes keep connections to PostgreSQL in a pool; what forks must not, whatever the environment says."""
import os
import subprocess
import sys

import pytest

SAY = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS'].get('pool', {}).get('max_size', 0))"


@pytest.mark.parametrize(("before", "kept"), [("import portal.asgi", 7), ("import portal.celery", 0)])
def test_only_a_web_process_has_a_pool(before: str, kept: int) -> None:
    environment = {**os.environ, "DATABASE_POOL": "7", "DJANGO_SETTINGS_MODULE": "portal.settings"}
    done = subprocess.run([sys.executable, "-c", f"{before}; {SAY}"], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == str(kept)
