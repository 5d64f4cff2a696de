"""Turns an address into remotes that the OVSDB client can open, each with certificates of its own.

The client keeps its certificate files in one place for the whole process, and reads them only while it opens a
connection. A method name of our own (`ssl-<mark>:`) for each set of certificates puts the right files there at that
moment, so that several fabrics live in one process. No connection is made here.
"""
import errno
import os
import ssl
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

from ovs.stream import SSLStream, Stream

from .. import reasons
from ..contract import FabricAddress, FabricFault

_files_are_set = threading.Lock()


def remotes(address: FabricAddress) -> str:
    """The address's URI, with its SSL remotes made to use its certificates. Raises FabricFault when these are of no
    use."""
    given = [remote.strip() for remote in address.uri.split(",")]
    if not any(remote.startswith("ssl:") for remote in given):
        return address.uri
    method = _method_for(address)
    return ",".join(f"{method}:{remote.removeprefix('ssl:')}" if remote.startswith("ssl:") else remote for remote in given)


def _method_for(address: FabricAddress) -> str:
    """One folder for each different credential, so that a renewed certificate never meets an old connection."""
    if not address.state_dir:
        raise ValueError("an address with a private key needs a state_dir to keep it in")
    texts = {"ca": address.ca_certificate, "certificate": address.certificate, "key": address.private_key}
    mark = sha256("\0".join(texts.values()).encode()).hexdigest()[:16]
    folder = Path(address.state_dir).absolute() / f"fabric-{mark}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = {name: folder / f"{name}.pem" for name in texts}
    for name, path in files.items():
        _write(path, texts[name].strip() + "\n")
    _require_useful(files)
    Stream.register_method(f"ssl-{mark}", _stream_with(files))
    return f"ssl-{mark}"


def _stream_with(files: dict[str, Path]) -> type[SSLStream]:
    class CertifiedStream(SSLStream):
        @staticmethod
        def _open(suffix: str, dscp: int) -> tuple[int, Any]:
            with _files_are_set:
                Stream.ssl_set_ca_cert_file(str(files["ca"]))
                Stream.ssl_set_certificate_file(str(files["certificate"]))
                Stream.ssl_set_private_key_file(str(files["key"]))
                try:
                    return SSLStream._open(suffix, dscp)
                except OSError as error:  # somebody removed the files: a connection that failed, like any other
                    return error.errno or errno.EPROTO, None

    return CertifiedStream


def _require_useful(files: dict[str, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(files["ca"])
        context.load_cert_chain(files["certificate"], files["key"])
    except ssl.SSLError as error:
        useless = FabricFault(reasons.BAD_CERTIFICATES)
        useless.add_note(str(error))
        raise useless from error


def _write(path: Path, text: str) -> None:
    """In one move, so that a connecting thread never sees half of it."""
    if path.exists() and path.read_text() == text:
        return
    half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    half.replace(path)


def _renew_lock() -> None:
    """Another thread of the parent may have held it while the process was forked."""
    global _files_are_set
    _files_are_set = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
