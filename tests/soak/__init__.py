"""How long the harnesses run: a seeded slice in `make test`, everything in `make soak`."""
import os

SOAKING = os.environ.get("MAINS_SOAK") == "1"
SEED = int(os.environ.get("MAINS_SEED", "1"))
