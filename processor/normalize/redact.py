"""Secrets, by the name of their key and by the shape of their value.

An audit log is read by many and kept for long; what should never have been sent to it is replaced
by ``[redacted]`` before it is stored.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

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

KEYS_CACHED_MAX = 16_384
CACHED_TEXT_CHARACTERS_MAX = 100
"""Names, addresses and levels come again and again; looking at one costs 2 us, finding it 0.1."""

SHORTEST_SECRET = 9
"""No shape below is shorter: ``xoxb-`` and ``sk_live_`` need something behind them."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z\-_. ]+|[A-Z]+")
_MAYBE_SECRET = re.compile(
    r"eyJ|-----BEGIN|AKIA|gh[pousr]_|github_pat_|xox[abprs]-|[sr]k_live_|AIza"
    r"|[0-9](?:[ -]?[0-9]){12}"
)
_SHAPES = re.compile(
    r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\Z)"
    r"|AKIA[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]+"
    r"|xox[abprs]-[A-Za-z0-9-]+"
    r"|[sr]k_live_[A-Za-z0-9]+"
    r"|AIza[A-Za-z0-9_-]{35}",
    re.DOTALL,
)
_DIGIT_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_CARD_DIGITS_MAX, _CARD_DIGITS_MIN = 19, 13
_CARD_FIRST_DIGITS = "23456"


@lru_cache(KEYS_CACHED_MAX)
def is_secret_key(key: str) -> bool:
    """Tell whether a key's name says that its value is a secret."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not SECRET_WORDS.isdisjoint(words):
        return True
    return any(pair in SECRET_PAIRS for pair in pairwise(words))


@lru_cache(KEYS_CACHED_MAX)
def is_reference_key(key: str) -> bool:
    """Tell whether a key holds an identifier, whose digits may look like a card's."""
    return key == "id" or key.endswith(("_id", "Id"))


def redact_text(text: str) -> str:
    """Replace everything in ``text`` that has the shape of a secret."""
    if len(text) < SHORTEST_SECRET:
        return text
    if len(text) <= CACHED_TEXT_CHARACTERS_MAX:
        return _redact_repeated(text)
    return _redact(text)


def _redact(text: str) -> str:
    if _MAYBE_SECRET.search(text) is None:
        return text
    return _DIGIT_RUN.sub(_without_cards, _SHAPES.sub(REDACTED, text))


_redact_repeated = lru_cache(KEYS_CACHED_MAX)(_redact)


def _without_cards(run: re.Match[str]) -> str:
    """Return a run of digits with the card numbers in it replaced."""
    text = run.group()
    kept, behind = [], 0
    for start, end in _groups(text):
        if start < behind:
            continue
        stop = next((stop for stop in reversed(end) if _is_card(text[start:stop])), None)
        if stop is not None:
            kept += [text[behind:start], REDACTED]
            behind = stop
    return "".join([*kept, text[behind:]])


def _groups(text: str) -> Iterator[tuple[int, list[int]]]:
    """Yield where a number may begin, and where from there on it may end: at group boundaries."""
    starts = [0, *(at + 1 for at, char in enumerate(text) if char in " -")]
    stops = [*(at for at, char in enumerate(text) if char in " -"), len(text)]
    for start in starts:
        yield start, [stop for stop in stops if stop > start]


def _is_card(text: str) -> bool:
    """Tell whether the digits of ``text`` are a payment card's number (Luhn, ISO/IEC 7812-1)."""
    digits = [int(char) for char in text if char not in " -"]
    if text[0] not in _CARD_FIRST_DIGITS:
        return False
    if not _CARD_DIGITS_MIN <= len(digits) <= _CARD_DIGITS_MAX:
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]  # noqa: PLR2004
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
