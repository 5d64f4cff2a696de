"""How long the harnesses run: a seeded slice in `make test`, everything in `make soak`."""
import os

SOAKING = os.environ.get("MAINS_SOAK") == "1"
# Every how many points the process is killed: all of them in a soak unless said, a twentieth in tests.
STRIDE = int(os.environ.get("MAINS_STRIDE", "1" if SOAKING else "20"))
SEED = int(os.environ.get("MAINS_SEED", "1"))
