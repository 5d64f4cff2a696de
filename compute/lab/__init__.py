"""Cloud in a box: Linux hosts on one machine, each in namespaces of its own, and a small image to boot on them.

A tool for development, tests and demonstrations; it has no tables, and nothing here may need Django's settings or
database: `python -m compute.lab` works alone. The portal treats what comes out of here as any other host.

**Connecting (for drivers and tests).** `up` writes `<state>/lab/lab.json`. Each host there has a `uri`

    qemu+ssh://root@10.99.N.11/system?command=<state>/lab/ssh/ssh&no_tty=1

that `libvirt.open` takes as it stands. `command` names a two-line wrapper that runs `ssh -F <state>/lab/ssh/config`,
and that configuration names our own known_hosts file (StrictHostKeyChecking yes) and our own key (IdentitiesOnly), so
that host keys are checked and nobody's `~/.ssh` is read or written. A production host is reached the same way: one
directory with `config`, `known_hosts` and the key. Plain commands: `ssh -F <state>/lab/ssh/config root@10.99.N.11 …`.
Connecting takes 0.3 s, so keep connections open. Guests' VNC servers listen on the host's address, and nowhere else.

**Network.** Every host is an OVN chassis of its own name, with Open vSwitch in user space: `central` in lab.json says
where the northbound database listens and with which certificate, `public` which provider network all chassis are plugged
into and which of its addresses may float. Plug a guest's NIC into `br-int` with an Open vSwitch virtual port whose
interface id is the logical port's name, and turn its offloads off on both sides: the userspace datapath does not finish
checksums. `shared_path` is one directory that all hosts see.
"""

from compute.lab.box import HostFacts, Lab, LabError

__all__ = ["HostFacts", "Lab", "LabError"]
