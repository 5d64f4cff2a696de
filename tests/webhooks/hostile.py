"""Addresses that a tenant may try. `{port}` is a port of ours on which every connection is counted."""


def words(text: str) -> list[str]:
    return text.split()


# Numbers that mean the loopback address, something private, link-local, shared or reserved; and other spellings of them.
NUMBERS = words("""
127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1
192.168.255.254 100.64.0.1 100.127.255.254 100.100.100.200 169.254.169.254 169.254.170.2 169.254.0.1 192.0.0.1 192.0.0.192
192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
168.63.129.16
2130706433 017700000001 0x7f000001 0x7F000001 0177.0.0.1 0x7f.0.0.1 0x7f.1 127.1 127.0.1 127.0.0.01 127.000.000.001 0177.1 0 00
0x 0x0 1 127.0.0.1.1 127.0.0.256 2852039166 0xa9fea9fe 0251.0376.0251.0376 4294967296 18446744073709551617 127.0.0.0x1
[::1] [::] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1]
[::ffff:7f00:1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0:127.0.0.1] [::ffff:169.254.169.254]
[64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [2002:a9fe:a9fe::1]
[2001:0:4136:e378:8000:63bf:80ff:fffe] [2001:db8::1] [2001:10::1] [3fff::1] [fe80::1] [fe80::1%25eth0] [fe80::1%eth0] [fec0::1]
[fc00::1] [fd00:ec2::254] [fd12:3456:789a::1] [ff02::1] [ff05::2] [100::1] [5f00::1] [::1%25lo] [2606:4700::5efe:7f00:1]
[2606:4700::200:5efe:7f00:1] [::1 [127.0.0.1] [v1.x] [] [::g]
①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 ⑯⑨.254.169.254 1②7.0.0.1 0Ⓧ7f000001 127.0.0.1. 127.0.0.1..
%31%32%37.0.0.1 127.0.0.1%00 127.0.0.1%2f 127%2e0%2e0%2e1
""")
# Names that mean something here, or nothing anywhere; and names with tricks.
NAMES = words("""
localhost LOCALHOST localhost. LocalHost.localdomain foo.localhost ip6-localhost ip6-loopback loopback metadata.google.internal
metadata printer.local router.lan db.internal db.corp db.home 1.0.0.127.in-addr.arpa postgres redis host.docker.internal
kubernetes.default.svc.cluster.local ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ﬁle.localhost ｌｏｃａｌｈｏｓｔ -a.example.org a-.example.org a_b.example.org
.example.org example..org example.org.. a,b.example.org ex*mple.org
""")
# Whole addresses: userinfo, two readings of one text, other schemes, ports of other services.
WHOLE = [
    "http://127.0.0.1:{port}@example.org/", "http://example.org@127.0.0.1:{port}/", "http://example.org:80@127.0.0.1:{port}/",
    "http://example.org#@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.org/", "http://127.0.0.1:{port}?@example.org/",
    "http://127.0.0.1:{port}\\@example.org/", "http://example.org\\@127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}\\",
    "http://127.0.0.1\t:{port}/", "http://127.0.0.1\n:{port}/", "http://\t127.0.0.1:{port}/", "http:// 127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "http:////127.0.0.1:{port}/", "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/", "127.0.0.1:{port}", "HTTP://127.0.0.1:{port}/", "https://127.0.0.1:{port}/",
    "http://127.0.0.1:0{port}/", "http://127.0.0.1:+{port}/", "http://127.0.0.1:{port}:80/", "http://127.0.0.1:٨٠/",
    "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:-1/", "http://example.org:22/", "http://example.org:25/",
    "http://example.org:3306/", "http://example.org:6379/", "http://example.org:6641/", "http://example.org:11211/",
    "http://example.org:16509/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/", "unix:///run/x", "http+unix://%2Frun%2Fx/", "ldap://127.0.0.1:{port}/", "jar:http://127.0.0.1!/",
    "data:text/plain,x", "javascript:alert(1)", "ws://127.0.0.1:{port}/", "", "http://", "http://:{port}/", "http:///", "http",
    "http://127.0.0.1:{port}/\r\nHost: x", "http://example.org/\r\nX-Evil: 1", "http://example.org/ HTTP/1.1", "http://example.org/é",
    "http://user:pass@example.org/", "http://user@example.org/", "http://@example.org/",
    "http://" + "a" * 64 + ".example.org/", "http://" + "a." * 130 + "org/", "http://example.org/" + "x" * 600,
]
URLS = [*(f"http://{host}:{{port}}/" for host in [*NUMBERS, *NAMES]), *WHOLE]
