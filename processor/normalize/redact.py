"""Secrets, by the name of their key and by the shape of their value.

An audit log is read by many and kept for long; what should never have been sent to it is replaced
by ``[redacted]`` before it is stored. Every step here takes time proportional to the text: what is
sent must not be able to hold up a lane.
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate, pairwise

REDACTED = "[redacted]"

SECRET_WORDS = frozenset(
    {
        *("password", "passwd", "passphrase", "secret", "token", "apikey", "authorization"),
        *("cookie", "pan", "cvc", "cvv", "otp", "totp", "pin"),
    }
)
SECRET_PAIRS = frozenset(
    {
        ("api", "key"),
        ("card", "number"),
        ("recovery", "code"),
        ("recovery", "codes"),
        ("private", "key"),
        ("access", "key"),
        ("security", "code"),
    }
)

KEYS_CACHED_MAX = TEXTS_CACHED_MAX = 16_384
CACHED_TEXT_CHARACTERS_MAX = 100
"""Names, addresses and levels come again and again; looking at one costs 2 us, finding it 0.1.

Of keys and values alike; longer ones would fill the memory.
"""

SHORTEST_SECRET = 6
"""No shape below is shorter: ``xoxb-`` needs something behind it."""

SHORTEST_PLAIN_SECRET = 13
"""Nor is one of letters and digits alone: a card has so many digits, every other shape more."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z\-_. ]+|[A-Z]+")
_MAYBE_SECRET_KEY = re.compile(
    "pass|secret|token|key|auth|cookie|pan|cv[cv]|otp|pin|number|code", re.IGNORECASE
)
_MAYBE_SECRET = re.compile(
    r"eyJ|-----BEGIN|AKIA|gh[pousr]_|github_pat_|xox[abprs]-|[sr]k_live_|AIza"
    r"|[0-9](?:[ -]?[0-9]){12}"
)
_SHAPES = re.compile(
    r"-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\Z)"
    r"|AKIA[A-Za-z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]+"
    r"|xox[abprs]-[A-Za-z0-9-]+"
    r"|[sr]k_live_[A-Za-z0-9_]+"
    r"|AIza[A-Za-z0-9_-]{35}",
    re.DOTALL,
)
_DOTTED = re.compile(r"[A-Za-z0-9_.-]+")
_JWT = "eyJ"
_JWT_PARTS = 3

_DIGIT_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_DIGITS = re.compile(r"[0-9]+")
_CARD_LENGTHS = range(19, 12, -1)
_CARD_FIRST_DIGITS = "23456"
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


class Kind(IntEnum):
    """What the name of a key says of the value under it."""

    PLAIN = 0
    EMAIL = 1
    REFERENCE = 2
    SECRET = 3


def kind_of(key: str) -> Kind:
    """Return what a key's name says; an identifier's digits may look like a card's."""
    return _kind_of_short(key) if len(key) <= CACHED_TEXT_CHARACTERS_MAX else _kind_of(key)


def _kind_of(key: str) -> Kind:
    if _is_secret(key):
        return Kind.SECRET
    if key == "email":
        return Kind.EMAIL
    return Kind.REFERENCE if key == "id" or key.endswith(("_id", "Id")) else Kind.PLAIN


_kind_of_short = lru_cache(KEYS_CACHED_MAX)(_kind_of)


def _is_secret(key: str) -> bool:
    if _MAYBE_SECRET_KEY.search(key) is None:
        return False
    words = [word.lower() for word in _WORD.findall(key)]
    if not SECRET_WORDS.isdisjoint(words):
        return True
    return any(pair in SECRET_PAIRS for pair in pairwise(words))


def redact_text(text: str) -> str:
    """Replace everything in ``text`` that has the shape of a secret."""
    size = len(text)
    if size < SHORTEST_SECRET or (size < SHORTEST_PLAIN_SECRET and text.isalnum()):
        return text
    return _redact_short(text) if size <= CACHED_TEXT_CHARACTERS_MAX else _redact(text)


def _redact(text: str) -> str:
    if _MAYBE_SECRET.search(text) is None:
        return text
    if _JWT in text:
        text = _DOTTED.sub(_without_tokens, text)
    return _DIGIT_RUN.sub(_without_cards, _SHAPES.sub(REDACTED, text))


_redact_short = lru_cache(TEXTS_CACHED_MAX)(_redact)


def _without_tokens(dotted: re.Match[str]) -> str:
    """Return a dotted word with the JSON web tokens in it, of three parts each, replaced."""
    parts = dotted.group().split(".")
    kept, at = [], 0
    while at < len(parts):
        begin = parts[at].find(_JWT)
        following = parts[at + 1 : at + _JWT_PARTS]
        if begin >= 0 and len(following) == _JWT_PARTS - 1 and any(following):
            kept.append(parts[at][:begin] + REDACTED)
            at += _JWT_PARTS
        else:
            kept.append(parts[at])
            at += 1
    return ".".join(kept)


def _without_cards(run: re.Match[str]) -> str:
    """Return a run of digits with the card numbers in it replaced."""
    text = run.group()
    kept, behind = [], 0
    for start, stop in _cards([group.span() for group in _DIGITS.finditer(text)], text):
        kept += [text[behind:start], REDACTED]
        behind = stop
    return "".join([*kept, text[behind:]])


def _cards(groups: list[tuple[int, int]], text: str) -> Iterator[tuple[int, int]]:
    """Yield where card numbers stand (ISO/IEC 7812-1); they begin and end with a group of digits.

    A card's last digit counts as it is and every second one before it doubled: two running sums,
    one for an even and one for an odd last place, tell of any stretch whether it is a multiple of
    ten.
    """
    digits = text.encode().translate(_VALUES, b" -")
    doubled = digits.translate(_DOUBLED)
    sums = []
    for odd in (1, 0):
        counted = bytearray(digits)
        counted[odd::2] = doubled[odd::2]
        sums.append([0, *accumulate(counted)])
    ends: dict[int, int] = {}  # by number of digits up to there: where a group ends
    starts = []
    count = 0
    for start, stop in groups:
        starts.append((count, start))
        count += stop - start
        ends[count] = stop
    behind = 0
    for first, start in starts:
        if first < behind or text[start] not in _CARD_FIRST_DIGITS:
            continue
        for length in _CARD_LENGTHS:
            last = first + length
            if last in ends:
                running = sums[(last - 1) % 2]
                if (running[last] - running[first]) % 10 == 0:
                    yield start, ends[last]
                    behind = last
                    break
