"""What may come into this machine from a lab's public network: replies and ICMP echo, and nothing further inward.

One nftables table a lab, named after its number; no other rule of the machine is read, relied upon or changed. Bridged
frames between two hosts may pass through the forward hook too (`bridge-nf-call-iptables`), hence "to elsewhere".
"""

import subprocess

from compute.lab.errors import LabError
from compute.lab.network import ENVIRONMENT

RULES = """
add table inet {table}
delete table inet {table}
table inet {table} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{bridge}" jump public
  }}
  chain public {{
    ct state established,related accept
    ip daddr {gateway} icmp type echo-request accept
    drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{bridge}" oifname != "{bridge}" drop
  }}
}}
"""


def ensure(*, table: str, bridge: str, gateway: str) -> None:
    """Have these rules and no others in the lab's table, exchanged in one move."""
    _nft("-f", "-", text=RULES.format(table=table, bridge=bridge, gateway=gateway))


def remove(table: str) -> None:
    """Remove the lab's table, which need not be there."""
    _nft("-f", "-", text=f"add table inet {table}\ndelete table inet {table}\n")


def _nft(*arguments: str, text: str) -> None:
    ran = subprocess.run(["nft", *arguments], input=text, capture_output=True, text=True, env=ENVIRONMENT)
    if ran.returncode:
        raise LabError(f"nft: {ran.stderr.strip()}")
