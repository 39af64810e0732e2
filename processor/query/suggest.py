"""What could be meant, while somebody types."""

from typing import NamedTuple

from processor.query.parse import OUTCOMES
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.query import Field

SUGGESTIONS_MAX = 10

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
    """Return completions of the word that ends at the cursor, the likeliest first."""
    cursor = len(text) if cursor is None else min(max(cursor, 0), len(text))
    begin = max(text.rfind(" ", 0, cursor), text.rfind("\t", 0, cursor)) + 1
    word, behind = text[begin:cursor], text[cursor:]
    sign = "-" if word.startswith("-") else ""
    qualifier, colon, rest = word.removeprefix("-").partition(":")
    if not colon:
        found = [(f"{field.value}:", hint) for field, hint in _FIELDS.items()]
        before, typed = text[:begin] + sign, qualifier
    else:
        *_, typed = rest.split(",")
        before = text[: cursor - len(typed)]
        found = list(_VALUES.get(qualifier.lower(), {}).items())
    typed = typed.lower()
    starting = [(label, hint) for label, hint in found if label.startswith(typed)]
    inside = [(label, hint) for label, hint in found if typed in label[1:]]
    labels = dict(starting) | dict(inside) if typed else dict(starting)
    order = dict.fromkeys([*dict(starting), *labels])
    return [
        Suggestion(before + label + behind, label, labels[label])
        for label in list(order)[:SUGGESTIONS_MAX]
    ]
