"""The bus behind TLS: who is let in, who is not, and whether the refused are told why."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.emit import topics
from processor.errors import BusOutage, StartRefused
from processor.settings import Settings
from tests.integration import bus
from tests.integration.acls import grant
from tests.integration.ops import settings_of
from tests.integration.secure import Authority, Issued, SecureBroker

PASSWORD = "correct horse"
TRUST = "check HUB_AUDIT_KAFKA_CA_FILE and the host name in HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"
PROTOCOL = "check HUB_AUDIT_KAFKA_SECURITY_PROTOCOL and HUB_AUDIT_KAFKA_CERTIFICATE_FILE"
LOGIN = "check HUB_AUDIT_KAFKA_SASL_USERNAME and HUB_AUDIT_KAFKA_SASL_PASSWORD"


@pytest.fixture(scope="module")
def authority(server_directory: Path) -> Authority:
    """Give the authority that everybody here trusts."""
    return Authority(server_directory)


@pytest.fixture(scope="module")
def stranger(server_directory: Path) -> Authority:
    """Give an authority that nobody here trusts."""
    return Authority(server_directory, "stranger")


@pytest.fixture(scope="module")
def broker(server_directory: Path, authority: Authority) -> Iterator[SecureBroker]:
    """Give a broker of these tests' own, with one user and one topic."""
    broker = SecureBroker(server_directory / "secure-kafka", authority)
    broker.start()
    broker.add_users(PASSWORD, "ada")
    own = [{"type": "topic", "name": "own", "operations": ["Read"]}]
    grant(broker.bootstrap_servers, {"ada": own, "grace": own})
    bus.create(broker.bootstrap_servers, ["own"], 1)
    yield broker
    broker.kill()


def entering(broker: SecureBroker, listener: str, **env: str | Path) -> Settings:
    """Return the settings of somebody who comes in by a listener."""
    given = {f"KAFKA_{name}": str(value) for name, value in env.items()}
    return settings_of(broker.at(listener), KAFKA_REQUEST_TIMEOUT_MS="5000", **given)


def by_password(authority: Authority, password: str = PASSWORD, **env: str) -> dict[str, str]:
    """Return the settings of a user with a password."""
    return {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_USERNAME": "ada",
        "SASL_PASSWORD": password,
        "CA_FILE": str(authority.file),
    } | env


def by_certificate(authority: Authority, shown: Issued) -> dict[str, str]:
    """Return the settings of a user with a certificate."""
    return {
        "SECURITY_PROTOCOL": "SSL",
        "CA_FILE": str(authority.file),
        "CERTIFICATE_FILE": str(shown.certificate),
        "KEY_FILE": str(shown.key),
    }


async def refusal(settings: Settings) -> str:
    """Return what is said to somebody who is not let in, without the address."""
    with pytest.raises(BusOutage) as caught:
        await topics.names(settings)
    return re.sub(r"^Kafka at \S+ ", "", str(caught.value))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_password_lets_in(broker: SecureBroker, authority: Authority, mechanism: str) -> None:
    """A user with the right password is let in and sees what is theirs, by either mechanism."""
    settings = entering(broker, "SASL_SSL", **by_password(authority, SASL_MECHANISM=mechanism))
    assert await topics.names(settings) == {"own"}


async def test_certificate_lets_in_under_its_name(
    broker: SecureBroker, authority: Authority
) -> None:
    """The common name of a client's certificate is the principal that the rules are for."""
    grace = entering(broker, "MTLS", **by_certificate(authority, authority.issue("grace")))
    assert await topics.names(grace) == {"own"}
    mallory = entering(broker, "MTLS", **by_certificate(authority, authority.issue("mallory")))
    assert await topics.names(mallory) == frozenset()


async def test_wrong_password_is_refused(broker: SecureBroker, authority: Authority) -> None:
    """A wrong password and an unknown user are told so; the password is not repeated."""
    wrong = entering(broker, "SASL_SSL", **by_password(authority, "wr0ng"))
    assert await refusal(wrong) == f"does not know ada by this password: {LOGIN}"
    unknown = entering(broker, "SASL_SSL", **by_password(authority, SASL_USERNAME="eve"))
    assert await refusal(unknown) == f"does not know eve by this password: {LOGIN}"
    plain = entering(broker, "SASL_SSL", **by_password(authority, SASL_MECHANISM="PLAIN"))
    assert await refusal(plain) == "takes no PLAIN: check HUB_AUDIT_KAFKA_SASL_MECHANISM"


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        ("EXPIRED", "certificate has expired"),
        (
            "ELSEWHERE",
            "IP address mismatch, certificate is not valid for '127.0.0.1'.",
        ),
    ],
)
async def test_certificate_that_proves_nothing_is_refused(
    broker: SecureBroker, authority: Authority, listener: str, said: str
) -> None:
    """A server whose certificate has expired, or is for another host, gets nothing from us."""
    settings = entering(broker, listener, SECURITY_PROTOCOL="SSL", CA_FILE=authority.file)
    expected = f"shows a certificate that we do not trust ({said}): {TRUST}"
    assert await refusal(settings) == expected


async def test_server_of_a_strange_authority_is_refused(
    broker: SecureBroker, stranger: Authority
) -> None:
    """Trusting another authority than the server's ends before any password is sent."""
    settings = entering(broker, "SASL_SSL", **by_password(stranger))
    assert await refusal(settings) == (
        "shows a certificate that we do not trust (unable to get local issuer certificate):"
        f" {TRUST}"
    )


async def test_client_that_cannot_prove_itself_is_refused(
    broker: SecureBroker, authority: Authority, stranger: Authority
) -> None:
    """Without a certificate, or with one of a strange authority, nobody comes in."""
    nobody = entering(broker, "MTLS", SECURITY_PROTOCOL="SSL", CA_FILE=authority.file)
    assert await refusal(nobody) == f"hangs up on us as we come in: {PROTOCOL}"
    forged = stranger.issue("grace", file="forged")
    forger = entering(broker, "MTLS", **by_certificate(authority, forged))
    assert await refusal(forger) == f"hangs up on us as we come in: {PROTOCOL}"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("listener", ["SSL", "SASL_SSL", "MTLS"])
async def test_plain_text_is_refused(
    broker: SecureBroker, authority: Authority, listener: str, protocol: str
) -> None:
    """Where TLS is spoken, nobody comes in without it."""
    settings = entering(broker, listener, **by_password(authority, SECURITY_PROTOCOL=protocol))
    assert await refusal(settings) == f"hangs up on us as we come in: {PROTOCOL}"


async def test_tls_to_a_plain_listener_is_refused(
    broker: SecureBroker, authority: Authority
) -> None:
    """Who insists on TLS does not fall back to a server that has none."""
    settings = settings_of(
        broker.bootstrap_servers,
        KAFKA_SECURITY_PROTOCOL="SSL",
        KAFKA_CA_FILE=str(authority.file),
        KAFKA_REQUEST_TIMEOUT_MS="2000",
    )
    assert await refusal(settings) == "does not answer (KafkaConnectionError)"


def test_key_of_another_certificate_refuses_the_start(authority: Authority) -> None:
    """Files that do not belong together are found before anything connects."""
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(StartRefused, match="the TLS files do not fit together"):
        settings_of(
            "127.0.0.1:1",
            KAFKA_SECURITY_PROTOCOL="SSL",
            KAFKA_CERTIFICATE_FILE=str(one.certificate),
            KAFKA_KEY_FILE=str(other.key),
        )
