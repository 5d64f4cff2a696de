"""What happens to a host behind the portal's back, and a look at it."""
from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances.models import Instance
from compute.instances.reconcile import reconcile_host
from tests.world import World


def hand(world: World) -> SimulatedHost:
    return SimulatedHost(world.host.endpoint.uri)


def looked_at(world: World, instance: Instance) -> Instance:
    """As the reconciler leaves it."""
    assert reconcile_host(world.host.pk)
    instance.refresh_from_db()
    return instance
