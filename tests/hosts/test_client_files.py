"""The files that an SSH client needs: whole whoever writes them at once, and gone when their credential is not used any more."""
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compute.hosts.drivers import ssh
from compute.hosts.drivers.contract import Address


def address(folder: Path, key: str = "k") -> Address:
    return Address(uri="qemu+ssh://root@10.99.7.250/system", private_key=key, host_key="h ssh-ed25519 AAAA",
                   state_dir=str(folder))


def test_many_write_them_at_once_and_nobody_sees_half_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _path: False)  # as it is for all who come first
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as in two containers
    with ThreadPoolExecutor(16) as many:
        folders = {*many.map(lambda _number: ssh.client_folder(address(tmp_path)), range(200))}
    [folder] = folders
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert found == {"key": 0o600, "known_hosts": 0o600, "config": 0o600, "ssh": 0o700}
    assert (folder / "key").read_text() == "k\n"


def test_those_of_a_credential_that_nobody_uses_any_more_are_removed(tmp_path: Path) -> None:
    old, tried = ssh.client_folder(address(tmp_path, "old")), ssh.client_folder(address(tmp_path, "tried a moment ago"))
    for folder in (old, tried):
        assert ssh.client_folder(address(tmp_path, "new")).exists() and folder.exists()
    long_ago = time.time() - ssh.KEPT_S - 1
    os.utime(old, (long_ago, long_ago))
    new = ssh.client_folder(address(tmp_path, "new"))
    assert {*tmp_path.iterdir()} == {new, tried}


def test_those_in_use_stay(tmp_path: Path) -> None:
    used = ssh.client_folder(address(tmp_path, "used"))
    long_ago = time.time() - ssh.KEPT_S - 1
    os.utime(used, (long_ago, long_ago))
    ssh.client_folder(address(tmp_path, "used"))
    ssh.client_folder(address(tmp_path, "new"))
    assert used.exists()
