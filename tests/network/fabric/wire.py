"""What a guest does on its NIC, run inside a network namespace that stands for it; and frames to send there.

As a program: `wire.py VERB …` in the namespace, with its one NIC called `nic`. It knows nothing of the rest.
"""
import json
import os
import selectors
import socket
import struct
import sys
import time

NIC = "nic"
TOKEN = b"mains-token:"
"""What a frame carries to be recognised where it arrives."""
END = b";"
SERVED = (22, 80, 8080)
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
BROADCAST = "ff:ff:ff:ff:ff:ff"


# -- frames ------------------------------------------------------------------------------------------------------------


def ethernet(source: str, destination: str, kind: int, payload: bytes) -> bytes:
    return _mac(destination) + _mac(source) + struct.pack("!H", kind) + payload


def datagram(source: str, destination: str, source_port: int, port: int, payload: bytes) -> bytes:
    """An IPv4 packet with UDP, which may go without a checksum."""
    content = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(content), 1, 0, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + content


def arp(mac: str, claimed: str, asked: str, token: bytes) -> bytes:
    """A request in which `mac` claims to be `claimed`."""
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + _mac(mac) + socket.inet_aton(claimed) + bytes(6) \
        + socket.inet_aton(asked) + token


def router_advertisement(mac: str, token: bytes) -> bytes:
    """An IPv6 packet that would make its listeners send everything to us; the token is in an option of no meaning."""
    source, destination = socket.inet_pton(socket.AF_INET6, "fe80::1"), socket.inet_pton(socket.AF_INET6, "ff02::1")
    option = token.ljust(-(-(len(token) + 2) // 8) * 8 - 2, b"\0")
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + bytes((1, 1)) + _mac(mac) \
        + bytes((253, (len(option) + 2) // 8)) + option
    pseudo = source + destination + struct.pack("!II", len(message), 58)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + destination + message


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(content: bytes) -> int:
    content += b"\0" * (len(content) % 2)
    total = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# -- the program -------------------------------------------------------------------------------------------------------


def serve(log: str) -> None:
    """Tell whoever connects, or sends to the port of names, who it is; write down every frame with a token."""
    watched = selectors.DefaultSelector()
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind((NIC, 0))
    talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    talker.bind(("", 53))
    for source in (sniffer, talker, *(socket.create_server(("", port)) for port in SERVED)):
        watched.register(source, selectors.EVENT_READ)
    with open(log, "a") as file:
        print("ready", file=file, flush=True)
        while True:
            for key, _ in watched.select():
                if key.fileobj is sniffer:
                    frame, address = sniffer.recvfrom(65536)
                    if TOKEN in frame and address[2] != socket.PACKET_OUTGOING:
                        print(frame[frame.index(TOKEN):].partition(END)[0].decode(), file=file, flush=True)
                elif key.fileobj is talker:
                    _, peer = talker.recvfrom(65536)
                    talker.sendto(peer[0].encode(), peer)
                else:
                    connection, peer = key.fileobj.accept()
                    connection.sendall(peer[0].encode())
                    connection.close()


def tcp(address: str, port: str) -> None:
    """Print who the other side says that we are."""
    with socket.create_connection((address, int(port)), timeout=2) as connection:
        print(connection.recv(100).decode())


def ask(address: str) -> None:
    """The same by UDP, at the port of names."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(2)
        wire.sendto(b"who am I?", (address, 53))
        print(wire.recv(100).decode())


def drink(port: str) -> None:
    """Take all that the first caller has to give; print how many bytes."""
    with socket.create_server(("", int(port))) as server:
        server.settimeout(30)
        connection, _ = server.accept()
        total = 0
        while part := connection.recv(1 << 16):
            total += len(part)
    print(total)


def pour(address: str, port: str, size: str) -> None:
    """Give so many bytes to whoever drinks there."""
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(bytes(int(size)))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def offer(port: str, size: str) -> None:
    """Give so many bytes to the first caller."""
    with socket.create_server(("", int(port))) as server:
        server.settimeout(30)
        connection, _ = server.accept()
        connection.sendall(bytes(int(size)))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def fetch(address: str, port: str) -> None:
    """Take what is offered there; print how many bytes."""
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        total = 0
        while part := connection.recv(1 << 16):
            total += len(part)
    print(total)


def send(*frames: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((NIC, 0))
        for _ in range(3):
            for frame in frames:
                wire.send(bytes.fromhex(frame))
            time.sleep(0.05)


def lease(mac: str) -> None:
    """Ask by DHCP; print the offer's address and options."""
    transaction = os.urandom(4)
    request = struct.pack("!BBBB4sHHIIII", 1, 1, 6, 0, transaction, 0, 0x8000, 0, 0, 0, 0) + _mac(mac) + bytes(202) \
        + bytes((99, 130, 83, 99, 53, 1, 1, 55, 6, 1, 3, 6, 15, 26, 51, 255))
    frame = ethernet(mac, BROADCAST, IPV4, datagram("0.0.0.0", "255.255.255.255", 68, 67, request))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IPV4)) as wire:
        wire.bind((NIC, 0))
        wire.settimeout(2)
        wire.send(frame)
        while True:
            answer = wire.recv(2000)
            if answer[23] == 17 and answer[34:36] == struct.pack("!H", 67) and answer[46:50] == transaction:
                break
    options, rest = {}, answer[282:]
    while rest[0] != 255:
        options[rest[0]] = rest[2:2 + rest[1]]
        rest = rest[2 + rest[1]:]
    print(json.dumps({
        "ip": socket.inet_ntoa(answer[58:62]), "router": socket.inet_ntoa(options[3]),
        "dns": socket.inet_ntoa(options[6][:4]), "domain": options[15].decode().rstrip("\0"),
        "mtu": int.from_bytes(options[26], "big")}))


def name(server: str, wanted: str) -> None:
    """Ask by DNS; print the addresses."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in wanted.split("."))
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(2)
        wire.sendto(query, (server, 53))
        answer = wire.recv(1500)
    count, tail = struct.unpack("!H", answer[6:8])[0], answer[len(query):]
    for _ in range(count):  # each with the name in full, then type, class, time to live, length, address
        tail = tail[len(labels) + 1:]
        print(socket.inet_ntoa(tail[10:14]))
        tail = tail[14:]


if __name__ == "__main__":
    {"serve": serve, "tcp": tcp, "ask": ask, "send": send, "lease": lease, "name": name, "drink": drink, "pour": pour,
     "offer": offer, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
