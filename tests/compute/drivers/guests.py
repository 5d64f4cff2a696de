"""Domains for the drivers' tests: the smallest that a real host runs. SeaBIOS before an empty disk is guest enough."""
from uuid import UUID, uuid4

from compute.hosts.drivers.spec import Backing, Balloon, Controller, Disk, Domain, NoBacking, Vnc, domain_name


def small_domain(file: str, *, uuid: UUID | None = None, generation: int = 1, memory_mib: int = 32,
                 backing: str | None = None, **more: object) -> Domain:
    uuid = uuid or uuid4()
    disk = Disk(file=file, target="vda", backing=Backing(file=backing) if backing else NoBacking())
    defaults = {"name": domain_name(uuid), "type": "qemu", "machine": "pc", "boot": "hd", "max_vcpus": 1, "vcpus": 1}
    devices = (disk, Controller(type="usb", model="none"), Vnc(listen="127.0.0.1", password="geheim12"),
               Balloon(model="none"))
    return Domain(uuid=uuid, instance=uuid, generation=generation, memory_mib=memory_mib,
                  **(defaults | {"devices": devices} | more))
