"""What can be asked of the audit log: the syntax tree behind every filter.

A query is a conjunction of terms; a term is a field with one value or more, any of which may match;
a negated term wants none of them to match, and so also takes entries without that field. Page, URL,
API, export, command line and saved views share this one tree: ``processor.query`` turns text into
it and back, ``processor.store`` turns it into SQL.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

OWN_CATEGORY = "audit"
"""Hub Audit's own entries, the log of the log: shown when asked for."""


class Field(StrEnum):
    """What a term is about; the value is the qualifier as it is written, as in ``actor:``.

    ACTOR is the id or the e-mail address of who acted or for whom it was done; TARGET the id, the
    e-mail address or the name of what was affected; TEXT stands without a qualifier and means every
    field of an entry.
    """

    TEXT = "text"
    ACTION = "action"
    ACTOR = "actor"
    TARGET = "target"
    TARGET_TYPE = "target_type"
    CATEGORY = "category"
    OUTCOME = "outcome"
    IP = "ip"
    ID = "id"
    SEQ = "seq"
    SESSION = "session"
    REQUEST = "request"
    CORRELATION = "correlation"
    CREATED = "created"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Word:
    """A text that a field equals, or begins with; of TEXT, one that occurs anywhere.

    Letter case counts for ids alone: e-mail addresses, names and free text are compared without it
    (Unicode case folding of single characters, as Postgres's ``lower`` and Python's agree on).
    """

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """Sequence numbers, both ends included; None is open."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Period:
    """Instants from ``since`` on and before ``until``; None is open.

    A timedelta is that long before now, so that a saved "last 30 days" stays the last 30 days.
    """

    since: datetime | timedelta | None
    until: datetime | timedelta | None

    def at(self, now: datetime) -> "Period":
        """Return the period with fixed ends, as seen from an instant."""
        return Period(_fixed(self.since, now), _fixed(self.until, now))


Network = IPv4Network | IPv6Network
Value = Word | Numbers | Period | Network


@dataclass(frozen=True, slots=True)
class Term:
    """A condition: any of the values matches, or none of them when negated.

    TEXT, ACTION, ACTOR, TARGET, TARGET_TYPE, CATEGORY, OUTCOME, ID, SESSION, REQUEST, CORRELATION
    take words (of ID, CATEGORY and OUTCOME no prefixes, an ID is a UUID in its canonical form); IP
    takes networks, SEQ numbers, CREATED and RECORDED periods.
    """

    field: Field
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All terms hold. No term at all is every entry but Hub Audit's own."""

    terms: tuple[Term, ...] = ()

    @property
    def shows_own(self) -> bool:
        """Whether it asks for the log of the log: by category, action, id or sequence number."""
        return any(not term.negated and _asks_for_own(term) for term in self.terms)

    def at(self, now: datetime) -> "Query":
        """Return the query with every period fixed, as seen from an instant."""
        return Query(
            tuple(
                Term(
                    term.field, tuple(_value_at(value, now) for value in term.values), term.negated
                )
                for term in self.terms
            )
        )


def _asks_for_own(term: Term) -> bool:
    if term.field in (Field.ID, Field.SEQ):
        return True
    words = [value for value in term.values if isinstance(value, Word)]
    if term.field is Field.CATEGORY:
        return any(word.text == OWN_CATEGORY for word in words)
    return term.field is Field.ACTION and any(map(_names_own, words))


def _names_own(action: Word) -> bool:
    """Tell whether an action, or what begins so, is Hub Audit's own: audit.viewed, audit*."""
    own = f"{OWN_CATEGORY}."
    return action.text.startswith(own) or (action.prefix and own.startswith(action.text))


def _value_at(value: Value, now: datetime) -> Value:
    return value.at(now) if isinstance(value, Period) else value


def _fixed(end: datetime | timedelta | None, now: datetime) -> datetime | None:
    return now - end if isinstance(end, timedelta) else end
