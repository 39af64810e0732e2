"""Servers that let nobody in who cannot be known: certificates, a Kafka and a Postgres with TLS."""

import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.postgres import Server, server_account

HERE = ("127.0.0.1", "localhost")
YEAR = timedelta(days=365)
NAME_FROM_CERTIFICATE = r"RULE:^CN=([a-z0-9-]+)$/$1/,DEFAULT"
LISTENERS = ("SSL", "SASL_SSL", "MTLS", "EXPIRED", "ELSEWHERE")
INSTALLER = "installer"
ENTRANCE_RULES = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


class Issued(NamedTuple):
    """A certificate and its key, each in a PEM file."""

    certificate: Path
    key: Path

    def joined(self) -> Path:
        """Return both in one file, as Kafka wants a key store."""
        both = self.key.with_suffix(".both.pem")
        both.write_text(self.key.read_text() + self.certificate.read_text())
        return both


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        """Make its key and its certificate, which stands in ``file``."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} for tests")])
        now = datetime.now(UTC)
        own = _builder(self._name, self._name, self._key, (now - YEAR, now + YEAR))
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_usage(signs=True), critical=True)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(
        self, name: str, hosts: Sequence[str] = (), *, until: timedelta = YEAR, file: str = ""
    ) -> Issued:
        """Issue a certificate for a server on these hosts, or for a client without any."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = _builder(subject, self._name, key, (now - YEAR, now + until))
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(_usage(signs=False), critical=True)
        role = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        made = made.add_extension(x509.ExtendedKeyUsage([role]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_general(host) for host in hosts])
            made = made.add_extension(names, critical=False)
        stem = self._directory / (file or name)
        issued = Issued(stem.with_suffix(".crt.pem"), stem.with_suffix(".key.pem"))
        issued.certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued


class SecureBroker(Broker):
    """A node with encrypted listeners and an authorizer.

    ``SASL_SSL`` knows users by their password, ``MTLS`` by their certificate; who comes in by
    ``SSL`` or by the plain listener, the test's own way in, is ANONYMOUS: a super user here, as
    ``installer`` is. ``EXPIRED`` and ``ELSEWHERE`` show certificates that nobody should accept.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        """Describe the node, which shows certificates of this authority and trusts it alone."""
        super().__init__(directory, heap_mb=512)
        self._authority = authority
        self._shown = authority.issue("broker", HERE)
        self._expired = authority.issue("expired", HERE, until=-timedelta(days=1))
        self._elsewhere = authority.issue("elsewhere", ("kafka.example.com",))
        self._ports = {name: free_port() for name in LISTENERS}

    def at(self, listener: str) -> str:
        """Return where clients of a listener connect."""
        return f"127.0.0.1:{self._ports[listener]}"

    def add_users(self, password: str, *names: str) -> None:
        """Let users in by this password, by both SCRAM mechanisms."""
        scram = kafka_admin.ScramMechanism  # type: ignore[attr-defined] # exported in fact
        upsert = kafka_admin.UserScramCredentialUpsertion  # type: ignore[attr-defined]
        info = kafka_admin.ScramCredentialInfo  # type: ignore[attr-defined]
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for mechanism in (scram.SCRAM_SHA_256, scram.SCRAM_SHA_512):
            users: list[Any] = [
                upsert(name, info(mechanism, 4_096), password.encode()) for name in names
            ]
            for done in admin.alter_user_scram_credentials(users).values():
                done.result()

    def _write_properties(self) -> Path:
        path = super()._write_properties()
        plain = f"PLAINTEXT://127.0.0.1:{self.port}"
        ours = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self._ports.items())
        controller = f"CONTROLLER://127.0.0.1:{self._controller_port}"
        settings = {
            "listeners": f"{plain},{ours},{controller}",
            "advertised.listeners": f"{plain},{ours}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,MTLS:SSL,"
                "EXPIRED:SSL,ELSEWHERE:SSL"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._shown.joined()),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._authority.file),
            "ssl.principal.mapping.rules": NAME_FROM_CERTIFICATE,
            "listener.name.mtls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{INSTALLER}",
        }
        for listener, other in (("expired", self._expired), ("elsewhere", self._elsewhere)):
            settings[f"listener.name.{listener}.ssl.keystore.location"] = str(other.joined())
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            settings[f"listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"] = login
        own = "".join(f"{name}={value}\n" for name, value in settings.items())
        path.write_text(path.read_text() + own.replace("\\", "\\\\"))
        return path


@contextmanager
def secure_server(directory: Path, authority: Authority, shown: Issued) -> Iterator[Server]:
    """Run a Postgres that takes no connection over TCP but an encrypted one with a password."""
    rules = directory / "entrance.conf"
    rules.write_text(ENTRANCE_RULES)
    if account := server_account():
        for path in (*shown, authority.file, rules):
            os.chown(path, account.uid, account.gid)
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(shown.certificate),
        "ssl_key_file": str(shown.key),
        "ssl_ca_file": str(authority.file),
        "hba_file": str(rules),
    }
    server = Server(directory / f"postgres-{shown.key.stem}", settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.crash()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(valid[0]).not_valid_after(valid[1])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
