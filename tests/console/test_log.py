"""What a guest wrote on its serial port: who reads it, that it is text and nothing more, and that it goes with the instance."""
import pytest

from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Endpoint
from compute.instances.console.logs import as_text
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from tests.world import drain

HOSTILE = "\x1b[2J\x1b]0;title\x07<script>alert(1)</script>\x9b31m\u202e ok\x00\n"


@pytest.fixture
def written(world, instance: Instance) -> Instance:
    SimulatedHost(Endpoint.objects.get().uri).set_up(console_logs={str(instance.pk): HOSTILE})
    return instance


def read(person, instance: Instance):
    return person.http.get(f"/api/v1/instances/{instance.pk}/console-log/", headers={"host": person.site} | person.headers)


def test_who_may_open_the_console_reads_the_log_and_nobody_else(person, written):
    assert read(person("oscar", key=True), written).json() == {"text": HOSTILE}
    Instance.objects.update(state="stopped", observed_state="stopped")
    assert read(person("oscar", key=True), written).json() == {"text": HOSTILE}
    assert read(person("vera", key=True), written).status_code == 403
    assert read(person("mallory", key=True), written).status_code == 404


def test_on_the_page_it_is_text(person, written):
    oscar = person("oscar")
    page = oscar.http.get(f"/instances/{written.pk}/?tab=console&view=log").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;31m ok\n</pre></div>" in page
    answer = oscar.http.get(f"/instances/{written.pk}/console-log/")
    assert answer.content.decode() == HOSTILE and answer["Content-Type"].startswith("text/plain")
    assert answer["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(("said", "shown"), [("\x1b[0;32mOK\x1b[0m\n", "OK\n"), ("a\x1b(Bb", "ab"), ("a\x1b", "a"),
                                             ("\tx\n", "\tx\n"), ("\x1b]8;;http://evil\x1b\\x", "x")])
def test_what_only_a_terminal_understands_is_left_out(said: str, shown: str) -> None:
    assert as_text(said) == shown


def test_a_host_that_does_not_answer_or_keeps_none_is_told(person, written):
    oscar, key = person("oscar"), person("oscar", key=True)
    SimulatedHost(Endpoint.objects.get().uri).set_unreachable()
    assert read(key, written).status_code == 503
    assert "The host does not answer" in oscar.http.get(f"/instances/{written.pk}/?tab=console&view=log").content.decode()
    Endpoint.objects.update(driver="libvirt", uri="test:///default")
    assert read(key, written).status_code == 409
    assert "keeps no log" in oscar.http.get(f"/instances/{written.pk}/?tab=console&view=log").content.decode()


def test_it_goes_with_the_instance(world):
    create_instance(world.order(), actor=world.people["adam"])
    drain()
    made, host = Instance.objects.get(), SimulatedHost(Endpoint.objects.get().uri)
    host.set_up(console_logs={str(made.pk): "hello", "another": "stays"})
    act(made, "purge", actor=world.people["adam"])
    drain()
    assert host._store.read()["console_logs"] == {"another": "stays"}
