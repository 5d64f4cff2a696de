"""Verbs on hosts, and the steps that prepare one. The operation kind is registered by storage, which adds pools."""
from dataclasses import asdict

from django.db import transaction

from compute.hosts.connections import hypervisor
from compute.hosts.models import Host
from portal.kernel import audit
from portal.kernel.models import Operation
from portal.kernel.operations import Run, submit
from portal.kernel.states import database_now

PREPARE = "host.prepare"


@transaction.atomic
def prepare_host(host: Host, *, actor) -> Operation:
    """Find out what the host is and make it ready; again after a failure or a change."""
    Host.objects.filter(pk=host.pk).update(state=Host.State.PREPARING, state_reason="")
    audit.record("host.prepare", host, actor=actor, after={"name": host.name})
    return submit(PREPARE, region=host.region, actor=actor, arguments={"host": str(host.pk)})


@transaction.atomic
def set_maintenance(host: Host, wanted: bool, *, actor) -> None:
    """Take new instances, or do not."""
    Host.objects.filter(pk=host.pk).update(is_in_maintenance=wanted)
    audit.record("host.maintenance", host, actor=actor, before={"maintenance": host.is_in_maintenance},
                 after={"maintenance": wanted})


def host_of(run: Run) -> Host:
    return Host.objects.select_related("endpoint", "region").get(pk=run.arguments["host"])


def discover(run: Run) -> None:
    """Step: connect, and write down what the host has."""
    host = host_of(run)
    with hypervisor(host, run) as driver:
        found, capabilities = driver.inventory(), driver.capabilities
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(
            hostname=found.hostname, host_uuid=found.host_uuid, architecture=found.architecture, vcpus=found.vcpus,
            memory_mib=found.memory_mib, hypervisor=f"{found.hypervisor} {found.hypervisor_version}",
            health=Host.Health.UP, health_reason="", last_seen_at=database_now())
        host.endpoint.capabilities = asdict(capabilities)
        host.endpoint.save(update_fields=["capabilities"])


def probe(run: Run) -> None:
    """Step: does KVM really run? Found by booting a probe guest, not by looking for /dev/kvm."""
    host = host_of(run)
    with hypervisor(host, run) as driver:
        accelerated = driver.accelerates()
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(is_accelerated=accelerated)


def prepared(run: Run) -> dict:
    Host.objects.filter(pk=run.arguments["host"]).update(state=Host.State.READY, state_reason="")
    return {"host": run.arguments["host"]}


def not_prepared(run: Run, error: dict) -> None:
    Host.objects.filter(pk=run.arguments["host"]).update(state=Host.State.ERROR,
                                                         state_reason=str(error.get("detail", ""))[:500])
