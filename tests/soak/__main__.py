"""`make soak`: the seeded slices of `make test` at full length. Figures go into tests/FIGURES.md."""
import os
import sys

import pytest

LONG = ["tests/crash", "tests/engine", "tests/lab_crash", "tests/compute/drivers/test_killed_at_every_call.py"]

if __name__ == "__main__":
    os.environ["MAINS_SOAK"] = "1"
    wanted = sys.argv[1:] or [path for path in LONG if os.path.exists(path)]
    sys.exit(pytest.main(["-v", "-s", "--durations=0", *wanted]))
