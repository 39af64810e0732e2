"""Postgres behind TLS: who is let in, and which servers we refuse to talk to."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from processor.errors import DatabaseOutage, StartRefused
from processor.local.postgres import Server
from processor.settings import Settings
from processor.store.migrations import migrate
from processor.store.pool import Database
from tests.integration.secure import HERE, Authority, secure_server

IN_USE = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def authority(server_directory: Path) -> Authority:
    """Give the authority that everybody here trusts."""
    return Authority(server_directory, "store-authority")


@pytest.fixture(scope="module")
def server(server_directory: Path, authority: Authority) -> Iterator[Server]:
    """Give a server of these tests' own that takes encrypted connections only."""
    shown = authority.issue("store", HERE)
    with secure_server(server_directory, authority, shown) as server:
        asyncio.run(migrate(dsn(server, "verify-full", authority)))
        yield server


def dsn(server: Server, mode: str, authority: Authority, *, password: str = "") -> str:
    """Return the way in by a TLS mode, with trust in an authority."""
    address = urlsplit(server.dsn())
    if password:
        netloc = f"{address.username}:{password}@127.0.0.1:{server.port}"
        address = address._replace(netloc=netloc)
    trusted = f"&sslrootcert={quote(str(authority.file))}" if "verify" in mode else ""
    return f"{address.geturl()}?sslmode={mode}{trusted}"


async def entered(way: str) -> str:
    """Come in as the writer does, then as its login user, and return by which TLS."""
    db = await Database.open(way, connections=1)
    try:
        async with db.login_connection() as connection:
            version: str = await connection.fetchval(IN_USE)
            return version
    finally:
        await db.close()


async def refusal(way: str) -> str:
    """Return what is said when there is no way in."""
    with pytest.raises(DatabaseOutage) as caught:
        await entered(way)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require", "prefer"])
async def test_tls_lets_in(server: Server, authority: Authority, mode: str) -> None:
    """Every mode that can speak TLS does, also where it would do without."""
    assert await entered(dsn(server, mode, authority)) == "TLSv1.3"


async def test_plain_text_is_refused(server: Server, authority: Authority) -> None:
    """Without TLS the server lets nobody in, with the right password neither."""
    said = await refusal(dsn(server, "disable", authority))
    assert "no pg_hba.conf entry" in said
    assert said.endswith("no encryption")


async def test_wrong_password_is_refused(server: Server, authority: Authority) -> None:
    """TLS alone is no entrance, and what was tried as password is not repeated."""
    said = await refusal(dsn(server, "verify-full", authority, password="wr0ng"))
    assert said == ('InvalidPasswordError: password authentication failed for user "postgres"')


async def test_server_of_a_strange_authority_is_refused(
    server: Server, server_directory: Path
) -> None:
    """A server that cannot prove who it is never sees a password."""
    stranger = Authority(server_directory, "store-stranger")
    said = await refusal(dsn(server, "verify-full", stranger))
    assert "certificate verify failed: self-signed certificate in certificate chain" in said
    assert "postgres:" not in said


@pytest.mark.parametrize(
    ("name", "hosts", "days", "said"),
    [
        ("elsewhere-store", ("postgres.example.com",), 365, "IP address mismatch"),
        ("expired-store", HERE, -1, "certificate has expired"),
    ],
)
async def test_certificate_that_proves_nothing_is_refused(
    server_directory: Path,
    authority: Authority,
    name: str,
    hosts: tuple[str, ...],
    days: int,
    said: str,
) -> None:
    """A certificate that has expired or is for another host is worth nothing."""
    shown = authority.issue(name, hosts, until=timedelta(days=days))
    with secure_server(server_directory, authority, shown) as wrong:
        assert said in await refusal(dsn(wrong, "verify-full", authority))


def test_tls_options_that_cannot_be_meant_refuse_the_start(authority: Authority) -> None:
    """A mistyped mode, a missing file and a mode without its authority are found at the start."""
    for options, said in (
        ("sslmode=verify_full", "sslmode is one of disable, allow, prefer, require, verify-full,"),
        ("sslmode=verify-full", "sslmode=verify-full needs sslrootcert"),
        ("sslmode=verify-full&sslrootcert=/no/ca.pem", "sslrootcert: there is no file /no/ca.pem"),
    ):
        env = {"HUB_AUDIT_POSTGRES_DSN": f"postgresql://db.example.com/hub_audit?{options}"}
        with pytest.raises(StartRefused, match=said):
            Settings.load(env=env)
