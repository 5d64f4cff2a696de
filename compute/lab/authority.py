"""The lab's own certificate authority: OVN's databases answer only to certificates that it signed.

Everything stays in one directory of the lab. Nothing is looked up or sent anywhere.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from compute.lab.keys import write_if_changed

YEARS = dt.timedelta(days=3650)
DAY = dt.timedelta(days=1)  # clocks differ


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Where one machine's certificate is, its key, and the authority's certificate."""

    certificate: Path
    private_key: Path
    ca_certificate: Path


@dataclass(frozen=True)
class Authority:
    """An authority that lives in a directory."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, name: str) -> Identity:
        """Return the identity of this name, made on first use and kept."""
        if not self.certificate.exists():
            self._write("ca", _new_key(), issuer=None)
        if not (self.directory / f"{name}.pem").exists():
            issuer = serialization.load_pem_private_key((self.directory / "ca.key").read_bytes(), password=None)
            self._write(name, _new_key(), issuer=issuer)
        return Identity(
            certificate=self.directory / f"{name}.pem",
            private_key=self.directory / f"{name}.key",
            ca_certificate=self.certificate,
        )

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, *, issuer: object | None) -> None:
        """Write the key first: a certificate on disk is a promise that its key is there."""
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_if_changed(self.directory / f"{name}.key", text.decode(), mode=0o600)
        certificate = self._certificate(name, key, issuer=issuer)
        write_if_changed(
            self.directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM).decode()
        )

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, *, issuer: object | None) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=_named("ca"),
            subject_name=_named(name),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - DAY,
            not_valid_after=now + YEARS,
        ).add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        return builder.sign(issuer or key, hashes.SHA256())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
