"""Why the bus does not let us in: the client keeps it to itself and says that nobody answers."""

import ssl

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from processor.settings.sections import Kafka

_LOGIN_REFUSED = (SaslAuthenticationFailed, AuthenticationFailedError)


async def refusal(kafka: Kafka) -> str | None:
    """Return why the first of the bootstrap servers refuses us and what to check, or None."""
    options = kafka.client_options()
    host, port, _ = collect_hosts(options.pop("bootstrap_servers"))[0]
    try:
        connection = await create_conn(
            host, port, request_timeout_ms=kafka.request_timeout_ms, **options
        )
    except ssl.SSLCertVerificationError as error:
        return f"shows a certificate that we do not trust ({error.verify_message}): {_TRUST}"
    except ssl.SSLError as error:
        return f"does not speak TLS as we do ({error.reason}): {_PROTOCOL}"
    except _LOGIN_REFUSED:
        return f"does not know {kafka.sasl_username} by this password: {_PASSWORD}"
    except UnsupportedSaslMechanismError:
        return f"takes no {kafka.sasl_mechanism}: check HUB_AUDIT_KAFKA_SASL_MECHANISM"
    except KafkaError:
        return f"hangs up on us as we come in: {_PROTOCOL}"
    except (OSError, TimeoutError):
        return None
    connection.close()
    return None


_TRUST = "check HUB_AUDIT_KAFKA_CA_FILE and the host name in HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"
_PASSWORD = "check HUB_AUDIT_KAFKA_SASL_USERNAME and HUB_AUDIT_KAFKA_SASL_PASSWORD"  # noqa: S105
_PROTOCOL = "check HUB_AUDIT_KAFKA_SECURITY_PROTOCOL and HUB_AUDIT_KAFKA_CERTIFICATE_FILE"
