"""What could be meant, while somebody types."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from processor.query.parse import OUTCOMES
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.query import Field

SUGGESTIONS_MAX = 10

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_MASK = "\0"
_SPACE = re.compile(r"\s")
_REST_OF_WORD = re.compile(rf'(?:[^\s"]|{_QUOTED.pattern})*', re.DOTALL)
_REST_OF_VALUE = re.compile(rf'(?:[^\s",]|{_QUOTED.pattern})*', re.DOTALL)

_FIELDS = {
    Field.ACTION: "what happened, as in action:user.created",
    Field.ACTOR: "who did it: id or e-mail address",
    Field.TARGET: "what was affected: id, e-mail address or name",
    Field.TARGET_TYPE: "what kind of thing was affected: user, role, product",
    Field.CATEGORY: "a category, as in category:billing",
    Field.OUTCOME: "success or failure",
    Field.IP: "where it came from, as in ip:192.0.2.0/24",
    Field.CREATED: "when it happened, as in created:30d or created:2026-11-01..2026-11-30",
    Field.RECORDED: "when it arrived",
    Field.SESSION: "the session it happened in",
    Field.REQUEST: "the request it happened in",
    Field.CORRELATION: "what belongs together",
    Field.SEQ: "the number of the entry, as in seq:1..100",
    Field.ID: "the id of the entry",
}
_VALUES = {
    Field.ACTION.value: {name: action.label for name, action in CATALOGUE.items()},
    Field.CATEGORY.value: CATEGORY_LABELS,
    Field.OUTCOME.value: dict.fromkeys(OUTCOMES, ""),
    Field.CREATED.value: {"1h": "last hour", "24h": "last day", "7d": "last week", "30d": ""},
    Field.TARGET_TYPE.value: dict.fromkeys(
        sorted({target for action in CATALOGUE.values() for target in action.targets}), ""
    ),
}


class Suggestion(NamedTuple):
    """A completion: the whole text with it in place, what it adds, and what that means."""

    text: str
    label: str
    hint: str


def suggest(text: str, cursor: int | None = None) -> list[Suggestion]:
    """Return completions of the word at the cursor by its part before that, the likeliest first.

    The rest of the word goes, and the other values of a condition stay. Between quotes there are
    none: what is quoted is meant to the letter.
    """
    cursor = len(text) if cursor is None else min(max(cursor, 0), len(text))
    # Of what is quoted no space, colon or comma counts.
    head = _QUOTED.sub(lambda quoted: _MASK * len(quoted.group()), text[:cursor])
    if '"' in head:
        return []
    *_, word = _SPACE.split(head)
    qualifier, colon, values = word.removeprefix("-").partition(":")
    if colon:
        typed, known = values.rpartition(",")[2], _VALUES.get(qualifier.lower(), {})
    else:
        typed, known = qualifier, {f"{field.value}:": hint for field, hint in _FIELDS.items()}
    rest = (_REST_OF_VALUE if colon else _REST_OF_WORD).match(text, cursor)
    before, behind = text[: cursor - len(typed)], text[rest.end() if rest else cursor :]
    return [
        Suggestion(before + label + behind, label, known[label])
        for label in _likeliest(typed.lower(), known)[:SUGGESTIONS_MAX]
    ]


def _likeliest(typed: str, known: Iterable[str]) -> list[str]:
    """Return what begins with what was typed, then what has it inside; all where nothing was."""
    starting = [label for label in known if label.startswith(typed)]
    inside = [label for label in known if typed and typed in label[1:]]
    return list(dict.fromkeys([*starting, *inside]))
