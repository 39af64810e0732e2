"""Why a record is no entry: the closed set of rejection reasons, and the discard rules."""

from enum import StrEnum
from typing import NamedTuple

from schemas.record import Record


class Stage(StrEnum):
    """Where on the path a record was rejected."""

    DECODE = "decode"
    NORMALIZE = "normalize"
    STORE = "store"


class Reason(StrEnum):
    """Every rejection reason, in the order in which they are decided."""

    EMPTY_VALUE = "empty_value"
    TOO_LARGE = "too_large"
    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    INVALID_ENVELOPE = "invalid_envelope"
    UNSUPPORTED_SPECVERSION = "unsupported_specversion"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    WRONG_TOPIC = "wrong_topic"
    MISSING_ORG = "missing_org"
    INVALID_ORG = "invalid_org"
    MISSING_TIME = "missing_time"
    INVALID_TIME = "invalid_time"
    IN_FUTURE = "in_future"
    OLDER_THAN_RETENTION = "older_than_retention"
    MISSING_ACTOR = "missing_actor"
    INVALID_DATA = "invalid_data"
    ID_CONFLICT = "id_conflict"
    REFUSED_BY_DATABASE = "refused_by_database"


class Rule(StrEnum):
    """Every rule by which a valid event is, on purpose, no audit event."""

    NOT_AUDITED = "not_audited"
    NO_CHANGE = "no_change"


class Rejection(NamedTuple):
    """The record cannot pass. ``detail`` says what was expected where, never the value."""

    stage: Stage
    reason: Reason
    detail: str = ""


class Discard(NamedTuple):
    """The event is no audit event, by rule; counted, nothing stored."""

    rule: Rule


class DeadLetter(NamedTuple):
    """A rejected record on its way to the dead letters, with the organization if it is known."""

    record: Record
    rejection: Rejection
    org_id: str | None = None
