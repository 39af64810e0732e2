"""Secrets, by the name of their key and by the shape of their value.

An audit log is read by many and kept for long; what should never have been sent to it is replaced
by ``[redacted]`` before it is stored.
"""

import re
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
    # Only where a word begins, and without going back: a megabyte of "eyJ" must not cost a minute.
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+"
    r"|-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\Z)"
    r"|AKIA[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]+"
    r"|xox[abprs]-[A-Za-z0-9-]+"
    r"|[sr]k_live_[A-Za-z0-9]+"
    r"|AIza[A-Za-z0-9_-]{35}",
    re.DOTALL,
)
_DIGITS = re.compile(r"[0-9]+")
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
    """Return a run of digits with the card numbers in it replaced; a number is whole groups."""
    text = run.group()
    groups = [group.span() for group in _DIGITS.finditer(text)]
    kept, behind, at = [], 0, 0
    while at < len(groups):
        last = _last_group_of_card(text, groups, at)
        if last is not None:
            kept += [text[behind : groups[at][0]], REDACTED]
            behind, at = groups[last][1], last
        at += 1
    return "".join([*kept, text[behind:]])


def _last_group_of_card(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Return with which group the longest card number ends that begins with ``first``."""
    digits, found = "", None
    for at in range(first, len(groups)):
        start, end = groups[at]
        if len(digits) + end - start > _CARD_DIGITS_MAX:
            break
        digits += text[start:end]
        if len(digits) >= _CARD_DIGITS_MIN and _is_card(digits):
            found = at
    return found


def _is_card(digits: str) -> bool:
    """Tell whether digits are a payment card's number (Luhn, ISO/IEC 7812-1)."""
    if digits[0] not in _CARD_FIRST_DIGITS:
        return False
    numbers = [int(digit) for digit in reversed(digits)]
    doubled = (number * 2 - 9 if number > 4 else number * 2 for number in numbers[1::2])  # noqa: PLR2004
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0
