"""What is installed before anything else runs."""
from pathlib import Path

import pytest

from compute.lab.setup import packages, virtualenv


def test_a_package_list_is_one_name_a_line_with_comments() -> None:
    assert packages.parse("# all\nqemu-utils\n\n  tini  # a small init\nqemu-utils\n") == ["qemu-utils", "tini"]


def test_only_installed_packages_count_as_installed() -> None:
    status = "ii  tini\nrc  redis-server\nun  nginx\nhi  postgresql-15\niU  half-done\n"
    assert packages.installed(status) == {"tini", "postgresql-15"}


def test_this_machine_lacks_none_of_the_checked_in_list() -> None:
    assert packages.missing() == []


def test_a_policy_left_by_a_killed_run_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "policy-rc.d"
    ours.write_text(packages.POLICY_TEXT)
    monkeypatch.setattr(packages, "POLICY", ours)
    packages.ensure()
    assert not ours.exists()


def test_a_policy_of_the_machines_owner_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "policy-rc.d"
    theirs.write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(packages, "POLICY", theirs)
    packages.ensure()
    assert theirs.read_text() == "#!/bin/sh\nexit 0\n"


def test_the_environment_is_made_again_when_requirements_place_or_python_change() -> None:
    here = Path("/srv/mains/.venv")
    stamp = virtualenv.stamp_for(b"django", here, "3.11")
    assert stamp == virtualenv.stamp_for(b"django", here, "3.11")
    assert stamp != virtualenv.stamp_for(b"django==6", here, "3.11")
    assert stamp != virtualenv.stamp_for(b"django", Path("/moved/.venv"), "3.11")
    assert stamp != virtualenv.stamp_for(b"django", here, "3.12")
