"""`python3 compute/lab/setup VERB`, without importing the packages above it, which need the virtual environment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from setup.commands import main

sys.path.pop(0)
sys.exit(main(sys.argv[1:]))
