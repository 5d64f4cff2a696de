"""Deliveries survive: killed workers, two at once, failing receivers, maintenance. Real PostgreSQL and a real receiver."""
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now

from portal.kernel import crash, maintenance
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tenants.webhooks import dispatch, events, operations, tasks, telling
from tenants.webhooks.dispatch import BACKOFF_S, JITTER, run
from tenants.webhooks.models import Delivery, Webhook
from tests.cast import Cast
from tests.webhooks.receiver import Receiver, status

Make = Callable[..., Webhook]


class Killed(BaseException):
    """The process is gone at this point."""


def event(webhook: Webhook, event_type: str = "instance.start.succeeded") -> Delivery:
    delivery = events.test_event(webhook)
    Delivery.objects.filter(pk=delivery.pk).update(type=event_type)
    return delivery


def due_again(**columns: object) -> None:
    Delivery.objects.filter(state="pending").update(next_at=Now(), **columns)


def test_it_is_delivered_and_the_log_says_so(make: Make, hooked: Receiver) -> None:
    hooked.usual = status(200, b"thanks")
    delivery = event(make())
    assert run() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.lease_until) == ("succeeded", 1, None) and delivery.finished_at
    [attempt] = delivery.attempts
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, "", "thanks")
    assert run() == 0 and len(hooked.seen) == 1


# -- killed workers --

@pytest.fixture
def killed_at() -> Iterator[Callable[[int], None]]:
    """Die at the k-th point: before or after a statement, with a delivery claimed, posted or settled."""
    def arm(number: int) -> None:
        left = [number]

        def trigger(what: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed(what)
        crash.arm(trigger)
    yield arm
    crash.arm(None)


def test_a_worker_killed_at_any_point_loses_nothing(make: Make, hooked: Receiver, killed_at: Callable[[int], None]) -> None:
    webhook, kills = make(), 0
    for number in range(1, 200):
        delivery = event(webhook)
        before = len(hooked.seen)
        killed_at(number)
        try:
            with connection.execute_wrapper(crash.statement_wrapper):
                run()
        except Killed:
            kills += 1
        else:
            break
        finally:
            crash.arm(None)
        Delivery.objects.filter(lease_until__isnull=False).update(lease_until=Now() - timedelta(seconds=1))
        run()
        delivery.refresh_from_db()
        assert delivery.state == "succeeded", number
        ids = [request.headers["webhook-id"] for request in hooked.seen[before:]]
        assert 1 <= len(ids) <= 2 and set(ids) == {delivery.message_id}, number
    assert kills > 10, "nothing was killed: the points are not passed"


def test_a_lost_lease_writes_nothing(make: Make) -> None:
    delivery = event(make())
    [taken] = dispatch.claim(1)
    assert dispatch.claim(1) == []
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    [again] = dispatch.claim(1)
    assert again.token == taken.token + 1
    assert not dispatch.settle(taken, dispatch.Outcome(status=500, error="status"))
    assert dispatch.settle(again, dispatch.Outcome(status=200))
    delivery.refresh_from_db()
    assert (delivery.state, len(delivery.attempts)) == ("succeeded", 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_deliver_once(make: Make, hooked: Receiver) -> None:
    webhook = make()
    wanted = {event(webhook).message_id for _number in range(40)}
    barrier = threading.Barrier(2)

    def work() -> int:
        try:
            barrier.wait()
            return run()
        finally:
            connections.close_all()
    with ThreadPoolExecutor(2) as workers:
        made = sum(done.result() for done in [workers.submit(work), workers.submit(work)])
    ids = [request.headers["webhook-id"] for request in hooked.seen]
    assert sorted(ids) == sorted(wanted) and made == 40
    assert not Delivery.objects.exclude(state="succeeded").exists()


@pytest.mark.django_db(transaction=True)
def test_one_worker_at_a_time_and_the_clock_comes_again(make: Make, hooked: Receiver) -> None:
    event(make())

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [tasks.ONE_AT_A_TIME])
            held.set()
            free.wait(10)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [tasks.ONE_AT_A_TIME])
        connections.close_all()
    held, free = threading.Event(), threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    tasks.deliver()
    assert hooked.seen == []
    free.set()
    other.join()
    tasks.deliver()
    assert len(hooked.seen) == 1


def test_a_slow_organization_does_not_take_all_threads(make: Make, cast: Cast) -> None:
    slow, other = make(), make(organization=cast.rival_organization, actor=cast.mallory)
    for _number in range(10):
        event(slow)
    mine = event(other)
    first = dispatch.claim(dispatch.AT_ONCE)
    assert len([one for one in first if one.webhook_id == slow.pk]) == dispatch.MOST_OF_ONE and mine in first
    assert dispatch.claim(dispatch.AT_ONCE) == [], "what is leased counts too"


def test_maintenance_lets_deliveries_wait(make: Make, hooked: Receiver) -> None:
    event(make())
    maintenance.begin("upgrade")
    assert run() == 0 and hooked.seen == []
    maintenance.end()
    assert run() >= 1


# -- failures --

def test_back_off_over_three_days_then_given_up_and_told_once(make: Make, hooked: Receiver, cast: Cast) -> None:
    hooked.usual = status(503, b"later")
    webhook = make()
    delivery = event(webhook)
    waits = []
    while Delivery.objects.get(pk=delivery.pk).state == "pending":
        due_again()
        before = database_now()
        assert run() == 1
        delivery.refresh_from_db()
        waits.append((delivery.next_at - before).total_seconds())
    assert len(waits) == len(BACKOFF_S) + 1 == 10
    for wait, planned in zip(waits, BACKOFF_S, strict=False):
        assert planned * (1 - JITTER) <= wait <= planned * (1 + JITTER) + 2
    assert timedelta(days=3) <= timedelta(seconds=sum(BACKOFF_S)) < timedelta(days=4)
    assert delivery.state == "failed" and len(hooked.seen) == 10
    assert {request.headers["webhook-id"] for request in hooked.seen} == {delivery.message_id}
    webhook.refresh_from_db()
    assert webhook.state == "failing" and AuditEvent.objects.get(action="webhook.failing").target_id == str(webhook.pk)
    assert telling.tell() == 1 and telling.tell() == 0
    [letter] = mail.outbox
    assert letter.to == ["alice@example.org"] and "chat" in letter.subject and str(webhook.pk) in letter.body
    # What goes well afterwards clears it.
    hooked.usual = status(200)
    event(webhook)
    run()
    webhook.refresh_from_db()
    assert webhook.state == "enabled"


def test_tries_are_scattered(make: Make, hooked: Receiver) -> None:
    hooked.usual = status(500)
    webhook = make()
    for _number in range(8):
        event(webhook)
    run()
    assert len({round((at - made).total_seconds(), 2) for at, made in Delivery.objects.values_list("next_at", "created_at")}) > 4


def test_410_disables_at_once_and_is_told(make: Make, hooked: Receiver) -> None:
    hooked.usual = status(410)
    webhook = make()
    delivery, waiting = event(webhook), event(webhook)
    Delivery.objects.filter(pk=waiting.pk).update(next_at=Now() + timedelta(hours=1))
    run()
    webhook.refresh_from_db()
    delivery.refresh_from_db()
    assert (webhook.state, webhook.is_gone, delivery.state, len(hooked.seen)) == ("disabled", True, "failed", 1)
    due_again()
    assert run() == 0 and telling.tell() == 1 and len(mail.outbox) == 1


def test_mail_that_is_not_taken_is_sent_later(make: Make, hooked: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    Webhook.objects.filter(pk=make().pk).update(state="failing")

    def refuse(*_arguments: object) -> None:
        raise ConnectionRefusedError
    with monkeypatch.context() as patched:
        patched.setattr(telling, "send_mail", refuse)
        assert telling.tell() == 0
    assert telling.tell() == 1 and len(mail.outbox) == 1


def test_owners_are_told_when_the_maker_may_not_see_it_any_more(make: Make, cast: Cast) -> None:
    webhook = make(actor=cast.adam)  # whose role is one project's
    assert telling.listeners(webhook) == [cast.alice]
    assert telling.listeners(make(actor=cast.adam, project=cast.project)) == [cast.adam]


def test_a_test_is_tried_once_and_makes_nothing_failing(make: Make, hooked: Receiver, cast: Cast) -> None:
    hooked.usual = status(500)
    webhook = make()
    delivery = operations.send_test(webhook, actor=cast.alice)
    run()
    delivery.refresh_from_db()
    webhook.refresh_from_db()
    assert (delivery.state, webhook.state) == ("failed", "enabled")


def test_sent_again_under_the_same_id(make: Make, hooked: Receiver, cast: Cast) -> None:
    delivery = event(make())
    run()
    delivery = Delivery.objects.select_related("webhook").get(pk=delivery.pk)
    operations.resend(delivery, actor=cast.alice)
    assert (delivery.state, delivery.tries) == ("pending", 0)
    run()
    assert [request.headers["webhook-id"] for request in hooked.seen] == [delivery.message_id] * 2
    delivery.refresh_from_db()
    assert delivery.state == "succeeded" and len(delivery.attempts) == 2


def test_disabled_ones_wait_and_go_on_when_enabled(make: Make, hooked: Receiver, cast: Cast) -> None:
    webhook = make()
    event(webhook)
    operations.change_webhook(webhook, actor=cast.alice, enabled=False)
    assert run() == 0
    operations.change_webhook(webhook, actor=cast.alice, enabled=True)
    assert run() == 1 and len(hooked.seen) == 1


def test_deleted_ones_are_silent_and_their_secrets_gone(make: Make, hooked: Receiver, cast: Cast) -> None:
    webhook = make()
    event(webhook)
    operations.delete_webhook(webhook, actor=cast.alice)
    assert run() == 0 and hooked.seen == []
    webhook.refresh_from_db()
    assert (webhook.secret, webhook.previous_secret) == ("", "")


def test_secrets_that_sign_no_longer_are_forgotten(make: Make, cast: Cast) -> None:
    operations.rotate_secret(make(), actor=cast.alice)
    tasks.minute()
    assert Webhook.objects.get().previous_secret
    Webhook.objects.update(previous_until=F("previous_until") - timedelta(hours=25))
    tasks.minute()
    assert (Webhook.objects.get().previous_secret, Webhook.objects.get().previous_until) == ("", None)


def test_a_fault_of_ours_is_an_attempt_like_any_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall(*_arguments: object) -> None:
        raise ZeroDivisionError
    monkeypatch.setattr(dispatch, "send", fall)
    delivery = event(make())
    started = time.monotonic()
    run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts[0]["error"]) == ("pending", "unexpected") and time.monotonic() - started < 5
