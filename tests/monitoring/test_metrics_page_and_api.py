"""What was measured, to be read: by the API, on the page, by Prometheus; by whom, and what is refused."""
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from compute.instances.measured import charts
from compute.instances.models import Instance
from compute.monitoring import measuring
from compute.monitoring.models import MeasuringPass
from compute.monitoring.reading import GRACE, MOST_POINTS
from compute.monitoring.rollup import roll_up
from compute.monitoring.series import DAYS, MINUTES, SAMPLES
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


def ask(watched: Watched, age: timedelta, length: timedelta | None = None, **query: object) -> Any:
    """From so long ago on; up to now unless said."""
    start = database_now() - age
    return watched.api(**({"from": start.isoformat()} | ({"to": (start + length).isoformat()} if length else {}) | query))


def test_answers_are_bounded(watched: Watched) -> None:
    most = timedelta(minutes=MOST_POINTS)
    assert ask(watched, most - timedelta(seconds=5), step=60).status_code == 200
    assert ask(watched, most + timedelta(minutes=1), step=60).json()["errors"]["step"][0].startswith("More than 1500 points")
    assert ask(watched, timedelta(days=700)).json()["step"] == 86400


def test_what_is_gone_is_refused_and_the_last_days_are_not(watched: Watched) -> None:
    """However long the question is on its way."""
    late, few = timedelta(seconds=5), timedelta(minutes=10)
    for series, step in ((SAMPLES, 15), (MINUTES, 60)):
        assert ask(watched, series.keep() + late, few, step=step).status_code == 200
        gone = ask(watched, series.keep() + GRACE + late, few, step=step)
        assert gone.json()["errors"] == {"step": ["Steps so short are not kept for so long: take longer ones."]}
    assert ask(watched, timedelta(days=7) + late).json()["step"] == 1800
    assert ask(watched, DAYS.keep() + late).status_code == 200
    assert ask(watched, DAYS.keep() + GRACE + late).json()["errors"] == {"from": ["Measurements are kept for two years."]}


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


def test_the_page_says_why_there_is_nothing(watched: Watched) -> None:
    def told(state: str, health: str) -> str:
        type(watched.world.host).objects.filter(pk=watched.world.host.pk).update(health=health)
        instance = Instance.objects.get(pk=watched.instance.pk)
        instance.state = state
        return charts(instance, "1h")["why_nothing"]

    for state in ("running", "rescued"):
        assert "every 15 seconds" in told(state, "up") and "does not answer" in told(state, "unreachable")
    assert "Only what runs" in told("stopped", "up") == told("stopped", "unreachable")


# -- /metrics --

def test_prometheus_needs_the_token_from_elsewhere(watched: Watched, settings) -> None:
    def ask(token: str) -> int:
        return Client().get("/metrics", headers={"Authorization": token}, **STRANGER).status_code

    assert [ask(token) for token in ("", "Bearer ", "Bearer s3cret")] == [404, 404, 404]  # there is none
    settings.METRICS_TOKEN = "s3cret"
    assert [ask(token) for token in ("", "Bearer ", "Bearer s3cre", "s3cret", "Bearer ütf", "Bearer s3cret")] == [404] * 5 + [200]
    assert Client().get("/readyz", headers={"Authorization": "Bearer s3cret"}, **STRANGER).json() == {"status": "ok"}


def value(name: str) -> float | None:
    """What Prometheus learns; None where it learns nothing."""
    text = Client().get("/metrics").content.decode()
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), None)


def test_prometheus_learns_of_hosts_that_were_never_measured_and_sums_over_all(watched: Watched) -> None:
    host, age = watched.world.host, 'mains_measuring_age_seconds{region="lab"}'
    hosts = type(host).objects.filter(pk=host.pk)
    hosts.update(health="up", created_at=database_now() - timedelta(minutes=9))
    assert not MeasuringPass.objects.exists() and value(age) >= 540
    assert value('mains_measuring_passes_total{region="lab"}') == value('mains_measuring_failing_hosts{region="lab"}') == 0
    measuring.keep(host, [], fault="no answer in time", duration_ms=1500)
    assert value(age) < 60 and value('mains_measuring_pass_seconds{region="lab"}') == 1.5
    hosts.update(health="unreachable")
    assert value(age) is None and value('mains_measuring_failing_hosts{region="lab"}') == 0
    assert value('mains_measuring_passes_total{region="lab"}') == value('mains_measuring_failures_total{region="lab"}') == 1


def test_prometheus_learns_how_measuring_goes(watched: Watched) -> None:
    host = watched.world.host
    type(host).objects.filter(pk=host.pk).update(health="up")
    watched.tell(0)
    assert value('mains_measuring_age_seconds{region="lab"}') > 60 and value("mains_measuring_due_minutes") == 1
    measuring.keep(host, [], fault="no answer in time")
    assert value('mains_measuring_failing_hosts{region="lab"}') == 1 and value('mains_measuring_passes_total{region="lab"}') == 2
    assert value('mains_measuring_failures_total{region="lab"}') == 1 and value('mains_measuring_age_seconds{region="lab"}') < 60
    assert f'"{watched.instance.name}"' not in Client().get("/metrics").content.decode()  # as a label
