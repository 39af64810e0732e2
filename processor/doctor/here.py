"""What is asked of this machine and its settings."""

import asyncio
import platform
from collections.abc import Iterator
from importlib.metadata import version

from processor.doctor.findings import Finding, ok, warning
from processor.normalize import NORMALIZER
from processor.settings import Http, Settings
from processor.settings.transport import exposed_bus, exposed_store

ASK_SECONDS_MAX = 3.0


def versions() -> Finding:
    """Say what runs here."""
    python = platform.python_version()
    said = f"hub-audit {version('hub-audit')}, normalizer {NORMALIZER}, Python {python}"
    return ok("versions", said)


def encryption(settings: Settings) -> Iterator[Finding]:
    """Say what could be listened to on its way to another machine."""
    kafka, dsn = settings.kafka, settings.postgres.dsn.get_secret_value()
    bus = exposed_bus(kafka.bootstrap_servers, kafka.security_protocol)
    if bus:
        fix = "set HUB_AUDIT_KAFKA_SECURITY_PROTOCOL=SASL_SSL"
        yield warning("encryption", bus, fix)
    if store := exposed_store(dsn):
        fix = "add sslmode=verify-full&sslrootcert=FILE to HUB_AUDIT_POSTGRES_DSN"
        yield warning("encryption", store, fix)
    elif not bus:
        yield ok("encryption", "nothing leaves this machine that could be listened to")


async def port(http: Http) -> Finding:
    """Find out who answers at the address of metrics and health."""
    address = f"{http.host}:{http.port}"
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(http.host, http.port)
            writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except OSError:
        return ok("metrics", f"nobody listens on {address}")
    if answer.endswith(b"ok\n"):
        return ok("metrics", f"a process of ours answers at http://{address}/metrics")
    return warning("metrics", f"something else listens on {address}", "set HUB_AUDIT_HTTP_PORT")
