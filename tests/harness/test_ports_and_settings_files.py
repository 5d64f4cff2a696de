"""A stage chooses its ports and keys once, keeps them, and gives way only where somebody else listens."""
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.lab.setup import ports
from compute.lab.setup import stage as stages
from compute.lab.setup.progress import SetupFailed
from compute.lab.setup.stage import Stage, read_env, settle_env, write_env


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(stages, "VAR", tmp_path)
    return Stage("run")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_with_a_listener_is_not_free(listener: socket.socket) -> None:
    assert not ports.is_free(listener.getsockname()[1])


def test_the_first_free_port_skips_listeners_and_taken_ones(listener: socket.socket) -> None:
    busy = listener.getsockname()[1]
    found = ports.first_free(busy, {busy + 1})
    assert found > busy + 1


def test_the_same_seed_gives_the_same_port_and_another_seed_another() -> None:
    assert ports.choose("a", ()) == ports.choose("a", ())
    assert ports.choose("a", ()) != ports.choose("b", ())


def test_a_chosen_port_lies_below_those_of_outgoing_connections() -> None:
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1024 < ports.choose(str(seed), ()) < first_ephemeral for seed in range(50))


@pytest.mark.parametrize("value", ["plain", "with space", "quote ' and \" both", "$HOME `id` \\n", "", "a=b=c"])
def test_a_settings_file_gives_back_what_was_written(tmp_path: Path, value: str) -> None:
    write_env(tmp_path / "env", {"KEY": value, "OTHER": "1"})
    assert read_env(tmp_path / "env") == {"KEY": value, "OTHER": "1"}


def test_a_settings_file_means_the_same_to_a_shell(tmp_path: Path) -> None:
    write_env(tmp_path / "env", {"KEY": "two words $HOME"})
    assert os.popen(f". {tmp_path}/env; printf %s \"$KEY\"").read() == "two words $HOME"


def test_a_settings_file_is_for_its_owner_alone(stage: Stage) -> None:
    settle_env(stage, is_running=False)
    assert stat.S_IMODE(stage.env_file.stat().st_mode) == 0o600


def test_settings_stay_from_start_to_start(stage: Stage) -> None:
    assert settle_env(stage, is_running=False) == settle_env(stage, is_running=False)


def test_a_port_taken_by_a_stranger_is_chosen_anew_and_the_password_stays(stage: Stage) -> None:
    before = settle_env(stage, is_running=False)
    with socket.create_server(("127.0.0.1", stages.port_of(before["DATABASE_URL"]))):
        after = settle_env(stage, is_running=False)
    assert stages.port_of(after["DATABASE_URL"]) != stages.port_of(before["DATABASE_URL"])
    assert after["DATABASE_URL"].split("@")[0] == before["DATABASE_URL"].split("@")[0]
    assert after["SECRET_KEY"] == before["SECRET_KEY"]


def test_our_own_listeners_are_no_reason_to_move(stage: Stage) -> None:
    before = settle_env(stage, is_running=False)
    with socket.create_server(("127.0.0.1", stages.port_of(before["REDIS_URL"]))):
        assert settle_env(stage, is_running=True) == before


def test_a_port_asked_for_that_a_stranger_holds_is_refused_in_words(stage: Stage, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(SetupFailed, match=f"Port {port} is taken"):
        settle_env(stage, is_running=False, port=port)


def test_two_stages_never_share_a_port(stage: Stage) -> None:
    other = Stage("test")
    urls = [values[key] for values in (settle_env(stage, is_running=False), settle_env(other, is_running=False))
            for key in ("DATABASE_URL", "REDIS_URL", "MAINS_URL")]
    assert len({stages.port_of(url) for url in urls}) == 6


def test_lines_added_by_hand_are_kept(stage: Stage) -> None:
    settle_env(stage, is_running=False)
    with stage.env_file.open("a") as out:
        out.write("LOG_LEVEL=DEBUG\n")
    assert settle_env(stage, is_running=False)["LOG_LEVEL"] == "DEBUG"


def test_a_portal_opened_to_the_network_once_is_closed_again_at_the_next_start(stage: Stage) -> None:
    opened = settle_env(stage, is_running=False, bind="0.0.0.0")
    assert opened["ALLOWED_HOSTS"] == "*"
    closed = settle_env(stage, is_running=False)
    assert closed["MAINS_BIND"] == "127.0.0.1"
    assert "ALLOWED_HOSTS" not in closed
