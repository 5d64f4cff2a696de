"""try"""
import pytest, time, collections
from tests.stories.guests import *
pytestmark = pytest.mark.lab

def history(portal, op):
    rows = portal.query("select created_at, started_at, finished_at, history from kernel_operation where id = %s", op["id"])[0]
    print("OP", rows[0].time(), rows[1].time(), rows[2] and rows[2].time(), [(h["step"], h["at"][17:23]) for h in rows[3]])

@pytest.mark.parametrize("kind", ["one"])
def test_it(portal, cloud, key, kind):
    before = cloud.census()
    t = time.monotonic()
    if kind == "one":
        ops = [order(portal, key, "web", count=12)]
    else:
        ops = at_once(lambda n: order(portal, key, f"web-{n}"), range(1, 13))
    print("\naccepted", time.monotonic() - t)
    guests = [g for gs in at_once(lambda op: await_made(portal, op, key), ops) for g in gs]
    print("running", time.monotonic() - t)
    def ready(g):
        try:
            a = wait_for(lambda: is_open(g.outside, 80), g.name, 300) and time.monotonic() - t
            b = wait_for(lambda: is_open(g.outside, 22), g.name, 300) and time.monotonic() - t
            g.await_ssh(300)
        except AssertionError as e:
            print(e, g.pk)
            return 0, 0, 0
        return round(a), round(b), round(time.monotonic() - t)
    times = at_once(ready, guests)
    print("http, port 22, ssh", times)
    for op in ops: history(portal, op)
    print(collections.Counter(portal.api("GET", f"instances/{g.pk}/", who="admin")[1]["host"] for g in guests))
    t = time.monotonic()
    print(at_once(lambda g: g.run("hostname"), guests), time.monotonic() - t)
    t = time.monotonic()
    remove_all(portal)
    print("removed", time.monotonic() - t)
    after = cloud.census()
    assert after == before
