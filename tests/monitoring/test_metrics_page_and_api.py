"""What was measured, to be read: by the API, on the page, by Prometheus; by whom, and what is refused."""
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from compute.monitoring import measuring
from compute.monitoring.reading import MOST_POINTS
from compute.monitoring.rollup import roll_up
from portal.kernel.states import database_now
from tests.monitoring.conftest import Watched

STRANGER = {"REMOTE_ADDR": "198.18.0.9"}


def tell_minutes(watched: Watched, minutes: int = 4) -> None:
    """Half of its vCPU, 1,000 bytes a second received; 64 MiB of 256 used."""
    for number in range(4 * minutes + 1):
        watched.tell(15 * number, cpu_ns=number * 7_500_000_000, rx_bytes=15_000 * number, memory_bytes=256 * 2**20,
                     used_bytes=64 * 2**20, rss_bytes=200 * 2**20)


def test_the_api_tells_points(watched: Watched) -> None:
    tell_minutes(watched)
    roll_up()
    answer = watched.api("vera", step=60).json()
    assert answer["step"] == 60 and len(answer["points"]) == 5
    point = answer["points"][1]
    assert (point["cpu_percent"], point["network_received_bytes"], point["disk_reads"]) == (50.0, 1000.0, 0.0)
    assert (point["memory_bytes"], point["memory_used_bytes"], point["memory_host_bytes"]) == (2**28, 2**26, 200 * 2**20)
    narrow = {"from": (watched.now + timedelta(seconds=20)).isoformat(), "to": (watched.now + timedelta(seconds=50)).isoformat()}
    fine = watched.api(**narrow).json()
    assert fine["step"] == 15 and [point["cpu_percent"] for point in fine["points"]] == [50.0, 50.0]
    assert watched.api(**(narrow | {"to": database_now().isoformat(), "step": 3600})).json()["points"][-1]["cpu_percent"] == 50.0


NONSENSE = (
    ({"step": "7"}, "step"), ({"step": "0"}, "step"), ({"step": "-15"}, "step"), ({"step": "a"}, "step"), ({"step": "٣"}, "step"),
    ({"from": "yesterday"}, "from"), ({"from": "2026-11-30"}, "from"), ({"from": "1999-01-01T00:00:00Z"}, "from"),
    ({"to": "9999-12-31T23:59:59Z"}, "to"), ({"to": "0001-01-01T00:00:00Z"}, "to"), ({"until": "1"}, "until"))


def test_what_makes_no_sense_is_refused_by_name(watched: Watched) -> None:
    for query, field in NONSENSE:
        answer = watched.api(**query)
        assert answer.status_code == 400 and list(answer.json()["errors"]) == [field], query
    backwards = {"from": database_now().isoformat(), "to": watched.now.isoformat()}
    assert list(watched.api(**backwards).json()["errors"]) == ["from"]


def test_answers_are_bounded(watched: Watched) -> None:
    def ask(length_s: float, step: int) -> int:
        return watched.api(**{"from": (database_now() - timedelta(seconds=length_s)).isoformat(), "step": step}).status_code

    assert ask(MOST_POINTS * 60 - 5, 60) == 200 and ask(MOST_POINTS * 60 + 60, 60) == 400
    assert ask(25 * 3600, 15) == 400  # samples are gone by then
    assert watched.api(**{"from": (database_now() - timedelta(days=700)).isoformat()}).json()["step"] == 86400


def test_who_may_not_see_the_instance_sees_no_measurement(watched: Watched) -> None:
    tell_minutes(watched, 1)
    statuses = {name: watched.api(name).status_code for name in ("alice", "oscar", "vera", "mallory", "root")}
    assert statuses == {"alice": 200, "oscar": 200, "vera": 200, "mallory": 404, "root": 200}
    client = APIClient()
    client.force_authenticate(watched.world.people["mallory"])
    absent = client.get(f"/api/v1/instances/{uuid4()}/metrics/")
    assert absent.json()["code"] == watched.api("mallory").json()["code"] == "not_found"


def test_the_page_has_four_charts_and_a_table(watched: Watched, browser: Callable[[str], Client]) -> None:
    address = f"/instances/{watched.instance.pk}/?tab=metrics"
    assert "It is asked every 15 seconds" in browser("vera").get(address).content.decode()
    tell_minutes(watched)
    roll_up()
    vera = browser("vera")
    vera.get(address)
    with CaptureQueriesContext(connection) as asked:
        page = vera.get(address).content.decode()
    assert len(asked) <= 12
    assert page.count("data-plot=") == 4 and f'data-metrics="/api/v1/instances/{watched.instance.pk}/metrics/"' in page
    assert "50.0 %" in page and "64 MiB" in page and "1000 B/s" in page
    assert 'data-step="10800"' in vera.get(address + "&range=30d").content.decode()
    assert 'data-step="15"' in vera.get(address + "&range=%00").content.decode()
    assert browser("mallory").get(address).status_code == 404


# -- /metrics --

def test_prometheus_needs_the_token_from_elsewhere(watched: Watched, settings) -> None:
    def ask(token: str) -> int:
        return Client().get("/metrics", headers={"Authorization": token}, **STRANGER).status_code

    assert [ask(token) for token in ("", "Bearer ", "Bearer s3cret")] == [404, 404, 404]  # there is none
    settings.METRICS_TOKEN = "s3cret"
    assert [ask(token) for token in ("", "Bearer ", "Bearer s3cre", "s3cret", "Bearer ütf", "Bearer s3cret")] == [404] * 5 + [200]
    assert Client().get("/readyz", headers={"Authorization": "Bearer s3cret"}, **STRANGER).json() == {"status": "ok"}


def test_prometheus_learns_how_measuring_goes(watched: Watched) -> None:
    def value(name: str) -> float:
        text = Client().get("/metrics").content.decode()
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    host = watched.world.host
    type(host).objects.filter(pk=host.pk).update(health="up")
    watched.tell(0)
    assert value('mains_measuring_age_seconds{region="lab"}') > 60 and value("mains_measuring_due_minutes") == 1
    measuring.keep(host, [], fault="no answer in time")
    assert value('mains_measuring_failing_hosts{region="lab"}') == 1 and value('mains_measuring_passes_total{region="lab"}') == 2
    assert value('mains_measuring_failures_total{region="lab"}') == 1 and value('mains_measuring_age_seconds{region="lab"}') < 60
    assert watched.instance.name not in Client().get("/metrics").content.decode()
