#!/bin/bash
# Process 1's only child on a lab host: turns fresh namespaces into a machine that runs libvirt and sshd.
# Arguments: the host's state directory, its name, its address with prefix length.
# Whatever is mounted or started here dies with the namespaces; nothing may be written outside the state directory.
set -eu
state=$1 name=$2 address=$3

mount --make-rprivate /
mount -t proc proc /proc
umount -l /sys                       # the root namespace's devices and cgroups, neither of which is this host's
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/libvirt /run/lock
hostname "$name"

mount --bind "$state/hosts" /etc/hosts     # names that do not resolve cost libvirt 20 s each
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

tries=0
until [ -e /sys/class/net/eth0 ]; do       # the lab plugs the cable in from outside
  tries=$((tries + 1)); [ "$tries" -lt 500 ] || { echo "no eth0 after 10 s"; exit 1; }
  sleep 0.02
done
ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up

keep() {                                   # a daemon that dies comes back, as under any real init
  while :; do
    "$@" || echo "$1 ended with status $?"
    sleep 0.2
  done
}
keep virtlogd &
keep libvirtd &
keep /usr/sbin/sshd -D -e -f "$state/sshd_config" &
wait
