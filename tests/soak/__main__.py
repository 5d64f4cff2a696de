"""`make soak`: the seeded slices of `make test` at full length. Figures go into tests/FIGURES.md.

In a process of its own, since this package has been imported already and has read its settings.
"""
import os
import subprocess
import sys

LONG = ["tests/crash", "tests/engine", "tests/lab_crash", "tests/compute/drivers/test_killed_at_every_call.py",
        "tests/stories/test_networks_isolation.py", "tests/stories/test_networks_faults.py",
        "tests/stories/test_real_debian.py",
        "tests/instances/test_creates_over_hosts.py", "tests/rest/test_schemathesis.py", "tests/walk",
        "tests/quotas/test_races.py", "tests/quotas/test_state_machine.py", "tests/audit/test_million_rows.py",
        "tests/instances/snapshots/test_qcow2.py", "tests/billing/test_rating_oracle.py",
        "tests/billing/test_ledger_machine.py", "tests/billing/test_lifecycles.py", "tests/billing/test_metering_moves.py",
        "tests/billing/test_counters.py", "tests/billing/test_exports_at_length.py"]

if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", "-v", "-s", "--durations=0", *(sys.argv[1:] or LONG)]
    sys.exit(subprocess.call(command, env={**os.environ, "MAINS_SOAK": "1"}))
