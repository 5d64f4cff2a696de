"""Another size: while it runs, by a restart or from the next start; books, host and guest agree, also where it fails."""
from dataclasses import asdict
from decimal import Decimal

import pytest
from django.db import transaction
from django.urls import reverse

from billing.models import PriceBook, Terms, UsageInterval
from billing.seed import seed_prices
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Capabilities, Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim, Endpoint, Host
from compute.instances.headroom import Headroom
from compute.instances.models import Instance, InstanceType
from compute.instances.operations import act, create_instance
from compute.instances.resizing import Resize, Way, coming
from portal.kernel.errors import PaymentRequired, QuotaExceeded, StateConflict
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import engine, request_cancel
from portal.kernel.states import database_now
from tenants.models import Organization, Quota
from tenants.quotas import lines
from tests.world import World, drain

SIZES = {"medium": (2, 512), "large": (4, 1024), "huge": (8, 2048), "giant": (1000, 10**7), "odd": (1, 300)}


@pytest.fixture
def types(world: World) -> dict[str, InstanceType]:
    made = {slug: InstanceType.objects.create(slug=slug, name=slug.title(), vcpus=vcpus, memory_mib=memory, root_disk_gib=1)
            for slug, (vcpus, memory) in SIZES.items()}
    seed_prices(world.region, [(f"instance.{state}", slug, Decimal(number)) for number, slug in enumerate(made, 1)
                               for state in ("running", "stopped")])
    return made | {"small": world.type}


@pytest.fixture
def made(world: World, types: dict[str, InstanceType]) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def resize(instance: Instance, to: InstanceType, **wishes: object) -> Instance:
    act(instance, "resize", actor=None, type=to, **wishes)
    drain()
    return Instance.objects.get()


def books(instance: Instance) -> dict[str, object]:
    """What database, quota and usage say of its size; the intervals that ended are not part of it."""
    row = Instance.objects.get(pk=instance.pk)
    usage = UsageInterval.objects.filter(resource=row, period__endswith=None).values_list("meter", "sku")
    return {"row": (row.state, row.type.slug, row.vcpus, row.memory_mib), "usage": list(usage),
            "claims": dict(Claim.objects.filter(consumer=row).values_list("resource_class", "amount")),
            "quota": {line.resource: line.used for line in lines(row.project, row.region, {"vcpus": 0, "memory_mib": 0})}}


def as_booked(slug: str, state: str = "running") -> dict[str, object]:
    vcpus, memory = ({"small": (1, 256)} | SIZES)[slug]
    return {"row": (state, slug, vcpus, memory), "usage": [(f"instance.{state}", slug)],
            "claims": {"vcpu": vcpus, "memory_mib": memory}, "quota": {"vcpus": vcpus, "memory_mib": memory}}


def on_host(world: World, instance: Instance) -> tuple[int, int]:
    return SimulatedHost(world.host.endpoint.uri).size(instance.pk)


def test_what_runs_grows_and_goes_on_running(world: World, made: Instance, types) -> None:
    act(made, "resize", actor=world.people["alice"], type=types["medium"])
    # Until it is done it costs what it did, and counts for what it will be.
    meanwhile = books(made)
    assert meanwhile["usage"] == [("instance.running", "small")] and meanwhile["quota"] == {"vcpus": 2, "memory_mib": 512}
    [(pk, _region, readings)] = coming(world.project.organization)
    assert (pk, readings[0].sku) == (made.pk, "medium")
    drain()
    operation = Operation.objects.get(kind="instance.resize")
    assert (operation.state, operation.plan) == ("succeeded", ["define", "grow"])
    assert books(made) == as_booked("medium") and on_host(world, made) == (2, 512)
    event = AuditEvent.objects.get(action="instance.resize")
    assert (event.before["type"], event.after["type"]) == ("Small", "Medium")
    # It began with room for four times its size, and the next time has four times the new one.
    assert resize(made, types["large"]).max_memory_mib == 1024 and on_host(world, made) == (4, 1024)
    act(Instance.objects.get(), "reboot", actor=None, force=True)
    drain()
    assert Instance.objects.get().max_memory_mib == 4096 and on_host(world, made) == (4, 1024)


def test_what_cannot_be_done_while_it_runs_needs_a_restart_that_was_allowed(world: World, made: Instance, types, browser) -> None:
    client, path = browser("alice"), f"/api/v1/instances/{made.pk}/actions/resize/"
    reasons = {  # why, to which size, and what is the matter
        "It was started without room to grow so far.": ("huge", lambda: None),
        "It gets less than it has.": ("small", lambda: None),
        "Memory grows by multiples of 128 MiB while it runs.": ("odd", lambda: None),
        "The hypervisor of its host cannot do this while it runs.": ("medium", lambda: Endpoint.objects.update(
            capabilities=asdict(Capabilities())))}
    for why, (to, happens) in reasons.items():
        happens()
        before, body = books(made), {"type": str(types[to].pk)}
        for query in ("", "?dry_run=true"):
            answer = client.post(path + query, body, content_type="application/json")
            assert (answer.status_code, answer.json()["code"]) == (409, "needs_restart") and why in answer.json()["detail"]
        page = client.post(reverse("instances:resize", args=[made.pk]), body)
        assert page.status_code == 409 and f"Needs a restart: {why}" in page.content.decode() and books(made) == before
        answer = client.post(path, body | {"allow_restart": True}, content_type="application/json")
        assert answer.status_code == 202
        drain()
        row = Instance.objects.get()
        assert books(made) == as_booked(to) and on_host(world, made) == (row.vcpus, row.memory_mib)
        assert (row.max_vcpus, row.max_memory_mib) == (Headroom.of(row).vcpus, Headroom.of(row).memory_mib)
    # What an older version started has no room either.
    Endpoint.objects.update(capabilities=asdict(Capabilities(hot_adds_vcpus=True, hot_adds_memory=True)))
    Instance.objects.update(max_vcpus=0, max_memory_mib=0)
    assert Resize(instance=Instance.objects.get(), type=types["large"]).way is Way.RESTART


def test_what_is_stopped_has_its_new_size_from_its_next_start_on(world: World, made: Instance, types) -> None:
    act(made, "stop", actor=None, force=True)
    drain()
    resize(made, types["huge"])
    assert books(made) == as_booked("huge", "stopped")
    act(Instance.objects.get(), "start", actor=None)
    drain()
    assert books(made) == as_booked("huge") and on_host(world, made) == (8, 2048)
    act(Instance.objects.get(), "stop", actor=None, force=True)
    drain()
    resize(made, types["small"])
    assert books(made) == as_booked("small", "stopped")


def test_one_that_fails_leaves_guest_quota_usage_and_rows_as_before(world: World, made: Instance, types) -> None:
    hand = SimulatedHost(world.host.endpoint.uri)
    before = books(made)
    allowed: dict[str, object] = {"allow_restart": True}
    for call, to, way in (("ensure_size", "medium", {}), ("ensure_defined", "medium", {}),
                          ("ensure_started", "huge", allowed), ("ensure_stopped", "huge", allowed)):
        hand.fail(call, kind="error")
        resize(Instance.objects.get(), types[to], **way)
        operation = Operation.objects.filter(kind="instance.resize").latest("created_at")
        assert (operation.state, operation.error["code"]) == ("failed", "host_fault")
        assert books(made) == before and on_host(world, made) == (1, 256) and Instance.objects.get().fault
        with hypervisor(world.host) as driver:
            assert driver.domain(made.pk).power is Power.RUNNING
        # The definition is as before too: the next start is of the old size.
        act(Instance.objects.get(), "reboot", actor=None, force=True)
        drain()
        assert on_host(world, made) == (1, 256)
    assert resize(Instance.objects.get(), types["huge"], **allowed).type.slug == "huge"


def test_what_grew_and_then_fails_gives_it_back_once_the_guest_does(world: World, made: Instance, types) -> None:
    before, hand = books(made), SimulatedHost(world.host.endpoint.uri)
    operation = act(made, "resize", actor=None, type=types["medium"])
    hand.keep_memory(made.pk)
    hand.fail("ensure_size", kind="lost")  # it has grown, and nobody knows
    hand.fail("ensure_size", kind="error")
    for _turn in range(3):
        engine.advance()
        Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
    operation.refresh_from_db()
    assert operation.is_live and operation.undoing and on_host(world, made) == (2, 512)
    assert books(made)["quota"] == {"vcpus": 2, "memory_mib": 512}  # for as long as the host has it
    hand.keep_memory(made.pk, False)
    drain()
    operation.refresh_from_db()
    assert operation.state == "failed" and books(made) == before and on_host(world, made) == (1, 256)
    # An answer that was lost is asked for again, and who cancels by then comes too late.
    hand.fail("ensure_size", kind="lost")
    operation = act(Instance.objects.get(), "resize", actor=None, type=types["medium"])
    engine.advance()
    with pytest.raises(StateConflict):
        request_cancel(operation)
    Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z", cancel_requested_at=database_now())
    drain()
    assert books(made) == as_booked("medium") and on_host(world, made) == (2, 512)


def test_cancelled_while_it_shuts_down_it_runs_on_and_its_screen_has_the_same_password(
        world: World, made: Instance, types) -> None:
    before, password = books(made), made.vnc_password
    operation = act(made, "resize", actor=None, type=types["huge"], allow_restart=True)
    engine.advance()
    request_cancel(operation)
    drain()
    assert books(made) == before and Instance.objects.get().vnc_password == password
    with hypervisor(world.host) as driver:
        assert driver.domain(made.pk).power is Power.RUNNING


def test_a_dearer_size_is_paid_for_even_if_it_is_smaller(world: World, made: Instance, types) -> None:
    resize(made, types["medium"])
    Organization.objects.update(plan="trial")
    with pytest.raises(PaymentRequired):
        act(Instance.objects.get(), "resize", actor=None, type=types["odd"], allow_restart=True)
    resize(Instance.objects.get(), types["small"], allow_restart=True)  # that is the cheaper one
    assert books(made) == as_booked("small")


def test_a_guest_that_ends_meanwhile_keeps_its_old_size(world: World, made: Instance, types) -> None:
    act(made, "resize", actor=None, type=types["medium"])
    SimulatedHost(world.host.endpoint.uri).power_off_from_inside(made.pk)
    drain()
    assert books(made) == as_booked("small")  # the reconciler sees next that it is off


# What is wrong → what programs are told, and people.
WRONG = {"same": (400, "invalid", 400), "giant": (400, "invalid", 400), "withdrawn": (404, "not_found", 400),
         "nothing": (404, "not_found", 400), "unpriced": (400, "no_price", 400), "quota": (409, "quota_exceeded", 409),
         "credit": (402, "no_credit", 402), "room": (409, "no_capacity", 409), "bin": (409, "state_conflict", 409)}


def test_bad_input_is_told_and_changes_nothing(world: World, made: Instance, types, browser) -> None:
    create_instance(world.order(name="other"), actor=None)
    drain()
    client, medium = browser("alice"), InstanceType.objects.filter(slug="medium")
    wrongs = {"withdrawn": lambda: medium.update(is_offered=False), "nothing": lambda: medium.delete(),
              "unpriced": lambda: medium.update(slug="new"), "bin": lambda: Instance.objects.update(state="recycled"),
              "quota": lambda: Quota.objects.create(project=world.project, region=world.region, dimension="vcpus", limit=2),
              "credit": lambda: Organization.objects.update(plan="trial"),
              "room": lambda: Host.objects.update(memory_mib=767 + world.host.reserved_memory_mib)}
    for what, (status, code, page_status) in WRONG.items():
        to = str(types[{"same": "small", "giant": "giant"}.get(what, "medium")].pk)
        with transaction.atomic():
            wrongs.get(what, lambda: None)()
            before = books(made)
            answer = client.post(f"/api/v1/instances/{made.pk}/actions/resize/", {"type": to, "allow_restart": True},
                                 content_type="application/json")
            assert (answer.status_code, answer.json()["code"]) == (status, code), what
            page = client.post(reverse("instances:resize", args=[made.pk]), {"type": to, "allow_restart": "on"})
            assert page.status_code == page_status, what
            assert books(made) == before and not Operation.objects.filter(kind="instance.resize").exists()
            transaction.set_rollback(True)


def test_quota_and_room_are_asked_for_the_difference_only_and_given_back(world: World, made: Instance, types, browser) -> None:
    quota = Quota.objects.create(project=world.project, region=world.region, dimension="memory_mib", limit=512)
    Host.objects.update(memory_mib=512 + world.host.reserved_memory_mib)
    resize(made, types["medium"])
    assert books(made) == as_booked("medium")
    with pytest.raises(QuotaExceeded):
        create_instance(world.order(name="other"), actor=None)
    # Who has more than the quota that is allowed now may still become smaller.
    Quota.objects.filter(pk=quota.pk).update(limit=1)
    client, smaller = browser("alice"), {"type": str(types["small"].pk), "allow_restart": True}
    page = client.get(reverse("instances:resize", args=[made.pk])).content.decode()
    assert "disabled" not in page[page.index(f'value="{types["small"].pk}"'):].partition("</label>")[0]
    told = client.post(f"/api/v1/instances/{made.pk}/actions/resize/?dry_run=true", smaller, content_type="application/json")
    assert told.json()["allowed"]
    resize(Instance.objects.get(), types["small"], allow_restart=True)
    Quota.objects.filter(pk=quota.pk).update(limit=512)
    create_instance(world.order(name="other"), actor=None)


def test_the_page_says_price_quota_and_way_before_the_click(world: World, made: Instance, types, browser) -> None:
    book = PriceBook.objects.get(is_default=True)
    Terms.objects.create(organization=world.project.organization, book=book, discount_percent=50,
                         valid=("2020-01-01T00:00:00Z", None))
    Quota.objects.create(project=world.project, region=world.region, dimension="vcpus", limit=4)
    client, address = browser("alice"), reverse("instances:resize", args=[made.pk])
    page = client.get(address).content.decode()
    card = {kind.slug: page[page.index(f'value="{kind.pk}"'):].partition("</label>")[0] for kind in types.values()}
    assert "While it runs" in card["medium"] and "+1 vCPU, +256 MiB" in card["medium"] and "disabled" not in card["medium"]
    assert "0.50" in card["medium"]  # half of the list's
    assert "multiples of 128 MiB" in card["odd"] and "disabled" in card["small"] and "It has this size." in card["small"]
    assert "4 vCPUs left" not in card["large"] and "Your quota has 3 vCPUs left." in card["huge"]
    before = books(made)
    told = client.post(f"/api/v1/instances/{made.pk}/actions/resize/?dry_run=true", {"type": str(types["medium"].pk)},
                       content_type="application/json").json()
    assert told["allowed"] and told["placement"]["feasible"] and Decimal(told["price"]["hourly"]["amount"]) == Decimal("0.5")
    assert {line["resource"]: line["wanted"] for line in told["quota"]} == {"vcpus": 1, "memory_mib": 256}
    assert books(made) == before and not Operation.objects.filter(kind="instance.resize").exists()
    assert client.post(address, {"type": str(types["medium"].pk)}).status_code == 302
    drain()
    assert books(made) == as_booked("medium")
    assert browser("vera").get(address).status_code == 403 and browser("mallory").get(address).status_code == 404
