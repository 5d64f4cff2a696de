"""Steps of `instance.resize`. The row says the larger of both sizes meanwhile; what is made so is in the operation."""
from typing import Literal

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.instances import steps
from compute.instances.models import Instance, InstanceType
from compute.instances.operations import vnc_password
from portal.kernel.operations import Done, Run, Wait


def sized(run: Run, instance: Instance, which: Literal["to", "from"]) -> Instance:
    """The instance as it will be, or was; not to be saved."""
    if which == "to":
        instance.type = InstanceType.objects.get(pk=run.arguments["type"])
    instance.vcpus, instance.memory_mib = (run.arguments[which][name] for name in ("vcpus", "memory_mib"))
    return instance


def cut(run: Run, instance: Instance) -> None:
    """The power is cut, and only then its screen has another password: until here it may still run on."""
    steps.power_off(run, instance)
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(vnc_password=vnc_password())


def define(run: Run, instance: Instance) -> None:
    steps.define(run, sized(run, instance, "to"))


def define_back(run: Run, instance: Instance) -> None:
    steps.define(run, sized(run, instance, "from"))


def grow(run: Run, instance: Instance) -> None:
    with hypervisor(instance.host, run) as driver:
        driver.ensure_size(instance.pk, run.arguments["generation"], **run.arguments["to"])


def shrink(run: Run, instance: Instance) -> None:
    """Of what grew only partly: it is taken back for as long as the guest takes to give it, or runs."""
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        if seen is not None and seen.power in (Power.RUNNING, Power.PAUSED):
            driver.ensure_size(instance.pk, run.arguments["generation"], **run.arguments["from"])


def boot(run: Run, instance: Instance) -> Done | Wait:
    return steps.boot(run, instance)


def run_again(run: Run, instance: Instance) -> Done | Wait:
    """What was shut down for a size that it did not get runs as before. Whoever was asked may still obey, and is waited for."""
    if steps.may_obey(run, instance):
        return Wait(1)
    run.facts.pop("asked_at", None)
    define_back(run, instance)
    return steps.boot(run, instance)
