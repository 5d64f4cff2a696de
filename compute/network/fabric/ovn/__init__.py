"""OVN: the portal writes the Northbound database, OVN does the rest. Nobody else may import `ovs`.

`credentials` makes an address connectable, `session` keeps one connection and its replica of our tables, `replica`
shows rows of it to `reconcile`, `fabric` keeps the contract.

The client is OVSDB's own (`ovs`), without `ovsdbapp` above it: its commands are snippets for one row at a time, where
a whole document is compared here; its transactions wait without limit for a server that is connected and silent, and
run later what their caller has long given up; and its readers look at rows while another thread changes them.
"""
from .fabric import OvnFabric

__all__ = ["OvnFabric"]
