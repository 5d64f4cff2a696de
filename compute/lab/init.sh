#!/bin/bash
# Process 1's only child on a machine of the lab: turns fresh namespaces into a machine, then goes on with its role's script.
# Arguments: the machine's state directory and its role. What the lab decided about it is in the directory's `settings`.
# Whatever is mounted or started here dies with the namespaces; nothing may be written outside the state directory.
set -eu
state=$1 role=$2
. "$state/settings"

mount --make-rprivate /
mount -t proc proc /proc
umount -l /sys                       # the root namespace's devices and cgroups, neither of which is this machine's
mount -t sysfs sysfs /sys
umount -l -R /run/netns 2>/dev/null || true # and other labs' network namespaces, which would outlive their labs here
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
hostname "$name"
mount --bind "$state/hosts" /etc/hosts     # names that do not resolve cost libvirt 20 s each
for scope in all default; do
  echo 1 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6
done

await() {                                  # the lab plugs the cables in from outside
  local tries=0
  until [ -e "$1" ]; do
    tries=$((tries + 1)); [ "$tries" -lt 500 ] || { echo "no $1 after 10 s"; return 1; }
    sleep 0.02
  done
}
keep() {                                   # a daemon that dies comes back, as under any real init
  while :; do
    "$@" || echo "$1 ended with status $?"
    sleep 0.2
  done
}

ip link set lo up
await /sys/class/net/eth0
ip address add "$address" dev eth0
ip link set eth0 up
. "${0%/*}/$role.sh"
wait
