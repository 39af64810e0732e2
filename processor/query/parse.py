"""Terms to conditions: which field, which values, and what is wrong with them."""

import difflib
from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network, ip_network
from uuid import UUID

from processor.query import times
from processor.query.lexer import QueryError, Raw, RawTerm, terms
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.query import Field, Network, Numbers, Query, Term, Value, Word

OUTCOMES = ("success", "failure")
SEQ_MAX = 2**63 - 1
LIKENESS = 0.6
FEW = 10
"""So many are told one by one."""

MAPPED_BITS = 96
"""So many bits stand before the IPv4 address in an IPv4-mapped one."""

_FIELDS = {field.value: field for field in Field}


def parse(text: str) -> Query:
    """Return what a text asks for; raises QueryError with the place of what is wrong."""
    return Query(tuple(_term(raw, text) for raw in terms(text)))


def _term(raw: RawTerm, text: str) -> Term:
    if raw.qualifier is None:
        (word,) = raw.values
        return Term(Field.TEXT, (Word(word.text),), raw.negated)
    field = _FIELDS.get(raw.qualifier)
    if field is None:
        column = raw.column + raw.negated
        hint = _alike(raw.qualifier, _FIELDS)
        otherwise = " To search for" if hint else "; to search for"
        reason = f"there is no field {raw.qualifier!r}{hint}{otherwise} this text, quote it"
        raise QueryError(reason, column, text)
    read = _READERS[field]
    values: list[Value] = []
    for value in raw.values:
        try:
            values.append(read(value))
        except ValueError as error:
            raise QueryError(str(error), value.column, text) from error
    return Term(field, tuple(dict.fromkeys(values)), raw.negated)


def _text(raw: Raw) -> Word:
    return Word(raw.text)


def _word(raw: Raw) -> Word:
    return Word(raw.text, raw.prefix)


def _action(raw: Raw) -> Word:
    action = raw.text.lower()
    if raw.prefix:
        if not any(name.startswith(action) for name in CATALOGUE):
            raise ValueError(f"no action begins with {action!r}")
    else:
        _insist(action, CATALOGUE, "action")
    return Word(action, raw.prefix)


def _category(raw: Raw) -> Word:
    return _closed(raw, CATEGORY_LABELS, "category")


def _outcome(raw: Raw) -> Word:
    return _closed(raw, OUTCOMES, "outcome")


def _closed(raw: Raw, known: Collection[str], what: str) -> Word:
    word = _whole(raw, f"{what}: takes whole words").lower()
    _insist(word, known, what)
    return Word(word)


def _whole(raw: Raw, takes: str) -> str:
    """Return the text of a value that cannot be a beginning; raises ValueError."""
    if raw.prefix:
        raise ValueError(f"{takes}, not prefixes")
    return raw.text


def _insist(word: str, known: Collection[str], what: str) -> None:
    if word not in known:
        few = f", only {', '.join(known)}" if len(known) <= FEW else ""
        raise ValueError(f"there is no {what} {word!r}{_alike(word, known) or few}")


def _alike(word: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=LIKENESS)
    return f", did you mean {found[0]}?" if found else ""


def _network(raw: Raw) -> Value:
    text = _whole(raw, "ip: takes addresses and networks, as 192.0.2.0/24")
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("an address is 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32") from error
    return _unmapped(network) if isinstance(network, IPv6Network) else network


def _unmapped(network: IPv6Network) -> Network:
    """Return an IPv4-mapped network as IPv4, for so entries have it; others as they are."""
    address = network.network_address.ipv4_mapped
    if address is None or network.prefixlen < MAPPED_BITS:
        return network
    return IPv4Network((address, network.prefixlen - MAPPED_BITS))


def _id(raw: Raw) -> Word:
    text = _whole(raw, "id: takes whole UUIDs")
    try:
        return Word(str(UUID(text)))
    except ValueError as error:
        raise ValueError("an id is a UUID: 01a207d9-217b-828a-a137-81caa759c1be") from error


def _numbers(raw: Raw) -> Numbers:
    first, dots, last = _whole(raw, "seq: takes numbers and ranges, as 10..19").partition("..")
    numbers = [_number(part) for part in (first, last if dots else first)]
    low, high = numbers
    if low is None and high is None:
        raise ValueError("a number is 42, 42..99, 42.. or ..99")
    if low is not None and high is not None and high < low:
        raise ValueError(times.BACKWARDS.replace("period", "range"))
    return Numbers(low, high)


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(SEQ_MAX)):
        raise ValueError("a number is 42, 42..99, 42.. or ..99")
    return min(int(text), SEQ_MAX)


def _period(raw: Raw) -> Value:
    if raw.prefix:
        raise ValueError(times.EXPECTED)
    return times.parse(raw.text)


_READERS: dict[Field, Callable[[Raw], Value]] = {
    Field.TEXT: _text,
    Field.ACTION: _action,
    Field.ACTOR: _word,
    Field.TARGET: _word,
    Field.TARGET_TYPE: _word,
    Field.CATEGORY: _category,
    Field.OUTCOME: _outcome,
    Field.IP: _network,
    Field.ID: _id,
    Field.SEQ: _numbers,
    Field.SESSION: _word,
    Field.REQUEST: _word,
    Field.CORRELATION: _word,
    Field.CREATED: _period,
    Field.RECORDED: _period,
}
