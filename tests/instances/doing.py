"""What is done to an instance of the simulated host, to its end, and whether it runs there."""
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.instances.models import Instance
from compute.instances.operations import act
from tests.world import World, drain


def do(instance: Instance, verb: str, **wishes: object) -> Instance:
    act(instance, verb, actor=None, **wishes)
    drain()
    instance.refresh_from_db()
    return instance


def power(world: World, instance: Instance) -> Power:
    with hypervisor(world.host) as driver:
        return driver.domain(instance.pk).power
