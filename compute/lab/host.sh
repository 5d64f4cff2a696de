# A host: libvirt, sshd, Open vSwitch without a kernel module, and OVN's controller. Sourced by init.sh.
# eth0 is management, eth1 carries tunnels, eth2 is plugged into the public network.

for file in passwd group shadow; do        # the host has accounts of its own, whatever this machine's look like
  mount --bind "$state/$file" "/etc/$file"
done
place() {                                  # bind $1 on $2, which this machine's packages need not have made
  if [ ! -d "$2" ]; then
    mkdir -p "/run/above$2/"{upper,work}
    mount -t overlay overlay -o "lowerdir=${2%/*},upperdir=/run/above$2/upper,workdir=/run/above$2/work" "${2%/*}"
    mkdir "$2"
  fi
  mount --bind "$1" "$2"
}
place "$state/etc" /etc/libvirt
place "$state/lib" /var/lib/libvirt
place "$state/log" /var/log/libvirt
place "$state/cache" /var/cache/libvirt
mkdir -p /run/sshd /run/libvirt /run/openvswitch /run/ovn

# A userspace datapath takes frames from a device beside the kernel, which still sees them too, and would answer a guest's
# ARP and TCP on its tap with every address that the host has. Only management and the tunnel bridge may talk to it.
nft -f - <<'RULES'
table inet host {
  chain input { type filter hook input priority 0; policy drop; iifname { "lo", "eth0", "br-tun" } accept; }
  chain forward { type filter hook forward priority 0; policy drop; }
}
table arp host {
  chain input { type filter hook input priority 0; policy drop; iifname { "eth0", "br-tun" } accept; }
}
RULES

plain() {                                  # a userspace datapath does not finish checksums that the kernel left open
  ethtool -K "$1" tx off tso off gso off gro off >/dev/null
}
for nic in eth1 eth2; do
  await "/sys/class/net/$nic"
  plain "$nic"
  ip link set "$nic" up
done

dress() {                                  # a bridge's own device is new, and bare, whenever vswitchd starts
  await /sys/class/net/br-tun && await /sys/class/net/br-ex || return
  for bridge in br-tun br-ex; do plain "$bridge"; done
  ip address replace "$tunnel_address/$tunnel_prefix_length" dev br-tun
  ip link set br-tun up
  touch /run/openvswitch/dressed
}
vswitchd() {
  rm -f /run/openvswitch/dressed
  dress &
  ovs-vswitchd --disable-system --pidfile --log-file="$state/ovs/ovs-vswitchd.log" -vconsole:off
}
controller() {
  ovn-controller --pidfile --log-file="$state/ovs/ovn-controller.log" -vconsole:off \
    --private-key="$private_key" --certificate="$certificate" --ca-cert="$ca_certificate"
}
mac() {                                    # neighbours remember a tunnel address's; it stays the same over a power cut
  printf '"%s"' "$(cat "/sys/class/net/$1/address")"
}
describe() {                               # what this host is to OVN; ports of guests, all dead by now, are forgotten
  ovs-vsctl --no-wait init
  ovs-vsctl --no-wait --if-exists del-br br-int \
    -- --may-exist add-br br-tun -- set bridge br-tun datapath_type=netdev -- --may-exist add-port br-tun eth1 \
    -- set interface eth1 mtu_request="$tunnel_mtu" -- set interface br-tun mtu_request="$tunnel_mtu" \
    -- --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev -- --may-exist add-port br-ex eth2 \
    -- set bridge br-tun "other_config:hwaddr=$(mac eth1)" -- set bridge br-ex "other_config:hwaddr=$(mac eth2)" \
    -- set open_vswitch . "external_ids:system-id=$name" "external_ids:hostname=$name" \
      external_ids:rundir=/run/openvswitch external_ids:ovn-bridge-datapath-type=netdev \
      "external_ids:ovn-remote=\"$southbound\"" external_ids:ovn-encap-type=geneve "external_ids:ovn-encap-ip=$tunnel_address" \
      "external_ids:ovn-bridge-mappings=$physical_network:br-ex" external_ids:ovn-monitor-all=true \
      external_ids:ovn-remote-probe-interval=5000 external_ids:ovn-openflow-probe-interval=30 \
      external_ids:ovn-ofctrl-wait-before-clear=3000
}

keep virtlogd &
keep libvirtd &
keep /usr/sbin/sshd -D -e -f "$state/sshd_config" &
[ -s "$state/ovs/conf.db" ] || ovsdb-tool create "$state/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
keep ovsdb-server "$state/ovs/conf.db" --remote=punix:/run/openvswitch/db.sock --pidfile -vconsole:off \
  --log-file="$state/ovs/ovsdb-server.log" &
await /run/openvswitch/db.sock
describe
keep vswitchd &
keep controller &
