"""What a liar can send, by what it lies about: each lie makes its frames around the token that it is given."""
from collections.abc import Callable
from dataclasses import dataclass

from tests.network.fabric import wire
from tests.stories.attacker import Attacker
from tests.stories.guests import Guest

NOBODY = "02:66:66:66:66:66"
STRANGE = 0x88B5  # an EtherType kept for experiments
Lies = dict[str, Callable[[bytes], list[bytes]]]


@dataclass(frozen=True)
class Liar:
    """Who lies, to whom (`victim`), about whom (`third` is a neighbour, `rivals` are another tenant's)."""

    itself: Attacker
    victim: Guest
    third: Guest
    rivals: list[Guest]
    router: str
    outside: str

    def frames(self) -> dict[str, list[bytes]]:
        """By lie; the lie's name, without spaces, is the token."""
        lies = self._about_senders() | self._about_strangers() | self._by_arp() | self._as_a_server() | self._below_ip()
        return {what.replace(" ", "-"): make(what.replace(" ", "-").encode()) for what, make in lies.items()}

    def _about_senders(self) -> Lies:
        me, near, far, to, third = self.itself, self.victim.mac, self.itself.gateway, self.victim.inside, self.third
        return {
            "mac": lambda mark: [me.datagram(near, to, mark, mac_source=mac) for mac in (NOBODY, "01:00:5e:00:00:01")],
            "ip": lambda mark: [me.datagram(near, to, mark, source="10.0.0.200")],
            "ip of nobody": lambda mark: [me.datagram(near, to, mark, source="0.0.0.0"),
                                          me.datagram(wire.BROADCAST, "255.255.255.255", mark, source="0.0.0.0")],
            "ip of all": lambda mark: [me.datagram(near, to, mark, source=ip) for ip in ("255.255.255.255", "127.0.0.1")],
            "neighbour": lambda mark: [
                me.datagram(near, to, mark, source=third.inside),
                me.datagram(near, to, mark, source=third.inside, mac_source=third.mac),
                me.datagram(far, to, mark, source=third.inside, mac_source=third.mac)],
            "router": lambda mark: [me.datagram(near, to, mark, source=self.router),
                                    me.datagram(near, to, mark, source=self.router, mac_source=far)],
        }

    def _about_strangers(self) -> Lies:
        me, rivals = self.itself, self.rivals
        return {
            "rival": lambda mark: [
                me.datagram(one.mac, one.inside, mark, mac_source=other.mac, source=other.inside)
                for one, other in zip(rivals, (*rivals[1:], rivals[0]), strict=True)],
            "public address": lambda mark: [
                me.datagram(me.gateway, to, mark, source=rivals[0].outside)
                for to in (self.outside, self.victim.outside, rivals[1].outside)],
        }

    def _by_arp(self) -> Lies:
        me, near, far, to = self.itself, self.victim.mac, self.itself.gateway, self.victim.inside

        def claims(mark: bytes, address: str, asked: str = to) -> list[bytes]:
            return [me.arp(wire.BROADCAST, address, asked, mark), me.arp(wire.BROADCAST, address, asked, mark, is_reply=True),
                    me.arp(near, address, asked, mark, is_reply=True), me.arp(far, address, self.router, mark, is_reply=True)]

        return {
            "arp for the router": lambda mark: claims(mark, self.router),
            "arp for a neighbour": lambda mark: claims(mark, self.third.inside),
            "arp for a public address": lambda mark: claims(mark, self.rivals[0].outside, self.outside),
            "arp with another mac": lambda mark: [
                me.arp(wire.BROADCAST, me.guest.inside, to, mark, mac_claimed=NOBODY),
                me.arp(near, me.guest.inside, to, mark, mac_claimed=NOBODY, is_reply=True),
                me.arp(near, me.guest.inside, to, mark, mac_claimed=NOBODY, mac_source=NOBODY)],
        }

    def _as_a_server(self) -> Lies:
        """A server of leases, of routes or of names."""
        me, near, to = self.itself, self.victim.mac, self.victim.inside

        def leases(mark: bytes, by: int) -> list[bytes]:
            return [me.datagram(wire.BROADCAST, "255.255.255.255", mark, by=by, to=68), me.datagram(near, to, mark, by=by, to=68)]

        return {
            "lease": lambda mark: [*leases(mark, 67), me.datagram(near, to, mark, by=67, to=68, source=self.router)],
            "lease by another door": lambda mark: leases(mark, 1067),
            "lease in pieces": lambda mark: me.in_pieces(me.datagram(near, to, mark, by=67, to=68)),
            "names": lambda mark: [me.datagram(near, to, mark, by=53)],
            "routes": lambda mark: [me.advertisement("33:33:00:00:00:01", mark), me.advertisement(near, mark)],
        }

    def _below_ip(self) -> Lies:
        me, near = self.itself, self.victim.mac
        return {
            "ipv6": lambda mark: [me.datagram6("33:33:00:00:00:01", mark), me.datagram6(near, mark)],
            "vlan": lambda mark: [me.tagged(me.datagram(near, self.victim.inside, mark), vlan, kind)
                                  for vlan in (0, 1, 100) for kind in (0x8100, 0x88A8)],
            "link": lambda mark: [me.strange(f"01:80:c2:00:00:{last:02x}", kind, mark)
                                  for last, kind in ((0x0E, 0x88CC), (0x00, 0x0026), (0x03, 0x888E))],
            "strange": lambda mark: [me.strange(near, kind, mark) for kind in (STRANGE, 0x8847, 0x8863, 0x6558, 0x22F3)],
        }
