# OVN's central: the northbound and southbound databases and northd between them. Sourced by init.sh.

mkdir -p /run/ovn /run/openvswitch
tls=(--private-key="$private_key" --certificate="$certificate" --ca-cert="$ca_certificate")
database() {                               # $1 is nb or sb, $2 the database's name, $3 its table of one row
  keep ovsdb-server "$state/ovn$1.db" --remote="punix:/run/ovn/ovn$1_db.sock" --remote="db:$2,$3,connections" "${tls[@]}" \
    --unixctl="/run/ovn/ovn$1_db.ctl" --pidfile="/run/ovn/ovn$1_db.pid" --log-file="$state/ovn$1.log" -vconsole:off &
}
listen() {                                 # $1 is the tool, $2 where to; clients have half a minute to show that they live
  if [ "$("$1" get-connection)" != "$2" ]; then
    "$1" set-connection "$2" -- set connection . inactivity_probe=30000
  fi
}
for kind in nb sb; do
  [ -s "$state/ovn$kind.db" ] || ovsdb-tool create "$state/ovn$kind.db" "/usr/share/ovn/ovn-$kind.ovsschema"
done
database nb OVN_Northbound NB_Global
database sb OVN_Southbound SB_Global
await /run/ovn/ovnnb_db.sock
await /run/ovn/ovnsb_db.sock
ovn-nbctl init
ovn-sbctl init
listen ovn-nbctl "$northbound"
listen ovn-sbctl "$southbound"
keep ovn-northd --ovnnb-db=unix:/run/ovn/ovnnb_db.sock --ovnsb-db=unix:/run/ovn/ovnsb_db.sock --pidfile \
  --log-file="$state/northd.log" -vconsole:off &
