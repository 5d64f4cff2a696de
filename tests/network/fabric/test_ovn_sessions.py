"""Connections to a Northbound database under everything that befalls them: deaths, silence, forks, wrong certificates."""
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from compute.network.fabric import open_fabric
from compute.network.fabric.contract import CALL_LIMIT_S, FabricAddress, FabricFault, FabricUnreachable
from compute.network.fabric.design import public_document, vpc_document
from compute.network.fabric.ovn.session import ANSWER_S, PATIENCE_S, session_for
from compute.network.fabric.schema import TABLES

from .central import Central, wait_until
from .certificates import Authority
from .plans import large_vpc, public, uid, vpc

AT_ONCE_S = 0.5


@pytest.fixture(params=["unix", "ssl"])
def address(request: pytest.FixtureRequest, own: Central, tmp_path: Path) -> FabricAddress:
    return own.unix() if request.param == "unix" else own.ssl(tmp_path / "state")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Central]:
    """Databases of one test alone, so that they may be shot at."""
    made = Central(tmp_path / "own", with_northd=False)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def prepare(address: FabricAddress) -> None:
    open_fabric("ovn", address).apply(public_document(public()))


def seconds_until_refused(address: FabricAddress) -> float:
    began = time.monotonic()
    with pytest.raises(FabricUnreachable):
        open_fabric("ovn", address).apply(vpc_document(vpc()))
    return time.monotonic() - began


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_document_is_one_transaction_and_none_when_nothing_is_to_be_done(own: Central) -> None:
    prepare(own.unix())
    fabric, before = open_fabric("ovn", own.unix()), own.transactions()
    fabric.apply(vpc_document(vpc()))
    assert own.transactions() == before + 1
    fabric.apply(vpc_document(vpc()))
    fabric.owners()
    fabric.census()
    fabric.ports_up([str(uid("v1-web"))])
    assert own.transactions() == before + 1
    fabric.apply(vpc_document(vpc(revision=2, gateway=None, ports=(), groups=())))
    assert own.transactions() == before + 2
    fabric.remove(uid("v1"), 2)
    assert own.transactions() == before + 3


def test_what_another_process_committed_a_moment_ago_is_seen(own: Central) -> None:
    fabric = open_fabric("ovn", own.unix())
    prepare(own.unix())
    for revision in range(1, 20):
        fabric.apply(vpc_document(vpc(revision=revision)))
        own.nbctl("lr-del", f"vpc-{uid('v1')}")
        assert fabric.owners()[uid("v1")] == 0
        assert fabric.apply(vpc_document(vpc(revision=revision))) is True


def test_processes_that_apply_to_one_public_switch_all_land(own: Central) -> None:
    prepare(own.unix())

    def work(name: str) -> None:
        fabric = open_fabric("ovn", own.unix())
        for revision in range(1, 6):
            fabric.apply(vpc_document(vpc(name, revision=revision, floating=(), gateway=None if revision % 2 == 0 else
                                          vpc().gateway)))

    children = [in_child(lambda name=name: work(name)) for name in ("v1", "v2", "v3", "v4")]
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    fabric = open_fabric("ovn", own.unix())
    for name in ("v1", "v2", "v3", "v4"):
        assert fabric.apply(vpc_document(vpc(name, revision=5, floating=()))) is False


def test_two_processes_that_mend_the_same_vpc_do_not_double_it(own: Central) -> None:
    prepare(own.unix())
    census = None
    for _ in range(5):
        children = [in_child(lambda: open_fabric("ovn", own.unix()).apply(vpc_document(vpc()))) for _ in range(4)]
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
        census = census or open_fabric("ovn", own.unix()).census()
        assert open_fabric("ovn", own.unix()).census() == census
        own.nbctl("lr-del", f"vpc-{uid('v1')}", "--", "pg-del", f"vpc_{uid('v1').hex}")


def test_a_large_vpc_takes_no_noteworthy_time(own: Central, address: FabricAddress) -> None:
    prepare(address)
    fabric, times = open_fabric("ovn", address), {}
    plan = large_vpc(200)
    port_less = replace(plan, revision=2, ports=plan.ports[1:])
    for what, document in {"200 ports": plan, "nothing": plan, "one less": port_less}.items():
        began = time.monotonic()
        fabric.apply(vpc_document(document))
        times[what] = f"{(time.monotonic() - began) * 1000:.0f} ms"
    print(f"\n{address.uri.split(':')[0]}: {times}")
    assert fabric.remove(plan.id, 2)


# -- when it goes away -------------------------------------------------------------------------------------------------


def test_a_killed_database_is_unreachable_and_works_again_when_it_is_back(own: Central, address: FabricAddress) -> None:
    prepare(address)
    own.kill()
    assert seconds_until_refused(address) < PATIENCE_S + 1
    assert seconds_until_refused(address) < PATIENCE_S + 1
    assert seconds_until_refused(address) < AT_ONCE_S
    own.start_database()
    wait_until(lambda: session_for(address)._is_current(), 5)
    fabric = open_fabric("ovn", address)
    assert fabric.apply(vpc_document(vpc())) is True
    assert fabric.owners() == {uid("public"): 1, uid("v1"): 1}


def test_a_restart_between_two_calls_is_not_noticed(own: Central, address: FabricAddress) -> None:
    prepare(address)
    own.kill()
    own.start_database()
    assert open_fabric("ovn", address).apply(vpc_document(vpc())) is True


def test_a_database_emptied_meanwhile_is_filled_again(own: Central, address: FabricAddress) -> None:
    prepare(address)
    own.kill()
    (own.folder / "nb.db").unlink()
    own.create_database("nb")
    own.start_database()
    wait_until(lambda: session_for(address)._is_current(), 5)
    assert open_fabric("ovn", address).owners() == {}
    prepare(address)
    assert open_fabric("ovn", address).apply(vpc_document(vpc())) is True


def test_a_database_that_was_never_there_is_unreachable_in_time(tmp_path: Path) -> None:
    nowhere = FabricAddress(uri=f"unix:{tmp_path}/nothing.sock", deployment="test")
    assert seconds_until_refused(nowhere) < PATIENCE_S + 1
    assert seconds_until_refused(nowhere) < AT_ONCE_S


def test_silence_is_given_up_and_threads_do_not_queue_for_it(own: Central, address: FabricAddress) -> None:
    prepare(address)
    own.signal("nb", signal.SIGSTOP)
    with ThreadPoolExecutor(6) as pool:
        times = list(pool.map(lambda _: seconds_until_refused(address), range(6)))
    assert max(times) <= CALL_LIMIT_S + 1
    assert seconds_until_refused(address) < ANSWER_S + PATIENCE_S
    own.signal("nb", signal.SIGCONT)
    wait_until(lambda: session_for(address)._is_current(), 10)
    assert open_fabric("ovn", address).apply(vpc_document(vpc())) in (True, False)
    assert open_fabric("ovn", address).owners() == {uid("public"): 1, uid("v1"): 1}


def test_work_goes_on_while_the_database_is_killed_again_and_again(own: Central) -> None:
    prepare(own.unix())
    over, landed = threading.Event(), []

    def work() -> None:
        revision = 0
        while not over.is_set():
            revision += 1
            try:
                open_fabric("ovn", own.unix()).apply(vpc_document(vpc(revision=revision)))
                landed.append(revision)
            except FabricUnreachable:
                time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(4):
        time.sleep(0.5)
        own.kill()
        own.start_database()
    wait_until(lambda: session_for(own.unix())._is_current())
    count = len(landed)
    wait_until(lambda: len(landed) > count)
    over.set()
    worker.join()
    assert open_fabric("ovn", own.unix()).owners()[uid("v1")] >= landed[-1]


# -- processes ---------------------------------------------------------------------------------------------------------


def in_child(work) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def test_a_forked_child_has_a_connection_of_its_own_and_its_parent_keeps_its(own: Central, address: FabricAddress) -> None:
    prepare(address)
    opened_before, before = open_fabric("ovn", address), session_for(address)._idl
    busy = threading.Event()

    def stay_busy() -> None:
        while not busy.is_set():
            opened_before.owners()

    thread = threading.Thread(target=stay_busy)
    thread.start()

    def work() -> None:
        opened_before.apply(vpc_document(vpc()))
        assert session_for(address)._idl is not before
        assert opened_before.owners()[uid("v1")] == 1

    children = [in_child(work) for _ in range(5)]
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    busy.set()
    thread.join()
    assert opened_before.apply(vpc_document(vpc())) is False
    assert session_for(address)._idl is before


def test_threads_share_one_connection(own: Central) -> None:
    prepare(own.unix())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: open_fabric("ovn", own.unix()).owners(), range(40)))
    assert sum(thread.name == "fabric" and thread is session_for(own.unix())._keeper
               for thread in threading.enumerate()) == 1


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_stranger_is_not_let_in_and_does_not_take_a_stranger_for_the_fabric(own: Central, tmp_path: Path) -> None:
    right, other = own.ssl(tmp_path / "state"), Authority("other")
    certificate, key = other.issue("stranger")
    unknown_client = replace(right, certificate=certificate, private_key=key)
    unknown_server = replace(right, ca_certificate=other.pem)
    prepare(right)
    for wrong in (unknown_client, unknown_server):
        with pytest.raises(FabricUnreachable):
            open_fabric("ovn", wrong).owners()
    assert open_fabric("ovn", right).owners() == {uid("public"): 1}


@pytest.mark.parametrize("wrong", ["ca_certificate", "certificate", "private_key", "another's key", "nothing"])
def test_useless_certificates_are_a_fault_at_once(own: Central, tmp_path: Path, wrong: str) -> None:
    address = own.ssl(tmp_path / "state")
    changes = {"another's key": {"private_key": own.authority.issue("other")[1]},
               "nothing": {"private_key": "", "certificate": "", "ca_certificate": ""}}
    broken = replace(address, **changes.get(wrong, {wrong: "-----BEGIN NONSENSE-----"}))
    for _ in range(2):
        with pytest.raises(FabricFault) as fault:
            open_fabric("ovn", broken).owners()
        assert not fault.value.transient


def test_files_that_vanish_are_no_more_than_a_lost_connection(own: Central, tmp_path: Path) -> None:
    address = own.ssl(tmp_path / "state")
    prepare(address)
    [folder] = (tmp_path / "state").iterdir()
    (folder / "key.pem").rename(folder / "away")
    own.kill()
    own.start_database()
    assert seconds_until_refused(address) < PATIENCE_S + 1
    (folder / "away").rename(folder / "key.pem")
    wait_until(lambda: session_for(address)._is_current(), 5)
    assert open_fabric("ovn", address).owners() == {uid("public"): 1}


def test_fabrics_with_different_certificates_live_in_one_process(own: Central, tmp_path: Path) -> None:
    second = Central(tmp_path / "second", with_northd=False)
    try:
        second.start()
        addresses = [own.ssl(tmp_path / "state"), second.ssl(tmp_path / "state")]
        for address in addresses:
            prepare(address)
        for central in (own, second):
            central.kill()
            central.start_database()
        for address in addresses:
            wait_until(lambda address=address: session_for(address)._is_current())
            assert open_fabric("ovn", address).apply(vpc_document(vpc())) is True
    finally:
        second.stop()


def test_keys_are_nobody_elses_to_read_and_shown_nowhere(own: Central, tmp_path: Path) -> None:
    address = own.ssl(tmp_path / "state")
    prepare(address)
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(files) == 3 and all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "state").rglob("*"))
    assert not re.search("BEGIN|PRIVATE", repr(address))


# -- the schema --------------------------------------------------------------------------------------------------------


def test_the_declared_schema_is_ovns(own: Central) -> None:
    real = own.schema("nb")["tables"]
    for name, table in TABLES.items():
        assert real[name].get("isRoot", False) is table.is_root
        assert real[name].get("indexes", []) == ([[table.unique]] if table.unique else [])
        for title, column in table.columns.items():
            assert kind_of(real[name]["columns"][title]["type"]) == (
                column.kind if isinstance(column.kind, str) else column.kind.__name__, column.at_least,
                column.at_most, column.strength), f"{name}.{title}"


def kind_of(declared: str | dict) -> tuple[str, int, int | None, str]:
    declared = {"key": declared} if isinstance(declared, str) else declared
    key = {"type": declared["key"]} if isinstance(declared["key"], str) else declared["key"]
    most = declared.get("max", 1)
    many = declared.get("min", 1), None if most == "unlimited" else most
    if "value" in declared:
        return "dict", *many, ""
    if "refTable" in key:
        return key["refTable"], *many, key.get("refType", "strong")
    return {"string": "str", "integer": "int", "boolean": "bool"}[key["type"]], *many, ""
