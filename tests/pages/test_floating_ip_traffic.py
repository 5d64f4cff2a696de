"""A floating IP's page says how much has left as it this month."""
from collections.abc import Callable
from datetime import timedelta

from django.test import Client

from billing import counters
from billing.counters import Sample
from billing.periods import Month
from compute.network import operations, traffic
from portal.kernel.models import Resource
from portal.kernel.states import database_now
from tests.network.networked import Networked

MIB = 2**20


def test_it_says_what_was_sent_out_this_month(networked: Networked, browser: Callable[..., Client]) -> None:
    world, now = networked.world, database_now()
    floating = operations.allocate_floating_ip(world.project, world.region, actor=world.people["alice"])
    Resource.objects.filter(pk=floating.pk).update(created_at=now - timedelta(days=60))
    long_ago = Month.of(now).start - timedelta(hours=1)
    samples = [Sample(floating.pk, traffic.METER, "public", 1, at, size) for at, size in ((long_ago, MIB), (now, 4 * MIB))]
    assert counters.ingest(samples, now=now).added == 2
    page = browser("vera").get(f"/floating-ips/{floating.pk}/").content.decode()
    told = page.split("Sent out this month")[1].split("</dd>")[0]
    assert "3 MiB" in told
