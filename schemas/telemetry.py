"""Endpoint telemetry: what security agents on people's machines report to Defend.

Plain JSON on ``defend.endpoint_telemetry``, keyed by ``orgid`` with the murmur2 partitioner like
every other topic. Only verdicts other than ``benign`` are kept; the rest is counted.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic wants it before Python 3.12

from schemas.raw.envelope import ORG_ID

TELEMETRY_TOPIC = "defend.endpoint_telemetry"
SCHEMA_ID = "urn:hub:defend:telemetry:1"

Verdict = Literal["benign", "suspicious", "malicious"]
_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"

Text = Annotated[str, Field(max_length=256, pattern=_PRINTABLE)]


@with_config({"title": "Host", "extra": "ignore"})
class Host(TypedDict):
    """The machine that reports."""

    id: Text
    name: NotRequired[Text | None]
    ip: NotRequired[Text | None]


@with_config({"title": "User", "extra": "ignore"})
class User(TypedDict):
    """Who was logged in on it; the e-mail address is what ties it to Hub's audit log."""

    id: NotRequired[Text | None]
    email: NotRequired[Text | None]
    name: NotRequired[Text | None]


@with_config({"title": "Process", "extra": "ignore"})
class Process(TypedDict):
    """The process that was judged."""

    name: Text
    path: NotRequired[Annotated[str, Field(max_length=1_024, pattern=_PRINTABLE)] | None]
    sha256: NotRequired[Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None]


@with_config({"title": "Telemetry", "extra": "ignore"})
class Telemetry(TypedDict):
    """One report of an endpoint. Unknown members are ignored."""

    id: Text
    time: Annotated[str, Field(max_length=64, description="RFC 3339; UTC without a zone.")]
    orgid: Annotated[str, Field(pattern=f"^{ORG_ID}$")]
    host: Host
    user: NotRequired[User | None]
    process: Process
    verdict: Verdict
    title: NotRequired[Text | None]


TELEMETRY: TypeAdapter[Telemetry] = TypeAdapter(Telemetry)
