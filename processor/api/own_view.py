"""An entry of the log of the log in a few words: what its label leaves open. Pure."""

from collections.abc import Mapping
from typing import Any

from schemas.entry import Entry

CHARACTERS_MAX = 200
"""Of a row; the whole is on the entry's page."""


def about(entry: Entry) -> str:
    """Return what was read, or done with a subscription; empty where the label says it all."""
    details = entry["details"]
    extra = details.get("extra", {})
    match entry["action"]:
        case "audit.subscription_changed":
            said = _done(details.get("old", {}), details.get("new", {}))
        case "audit.viewed" | "audit.exported":
            said = _read(extra)
        case "audit.denied":
            said = str(extra.get("asked", ""))
        case _:
            said = ""
    return (
        said
        if len(said) <= CHARACTERS_MAX
        else said[: CHARACTERS_MAX - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )


def _done(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what was done, by the members that differ; nothing where none does."""
    match new:
        case {"replay": {"after_seq": after, **rest}}:
            through = rest.get("through_seq")
            return f"replay after entry {after}" + (f" up to {through}" if through else "")
        case {"test": _}:
            return "test event"
        case {"state": "active"}:
            return "resumed" if "state" in old else "created"
        case {"state": state}:
            return str(state)
    return ""


def _read(extra: Mapping[str, Any]) -> str:
    """Return which entries or findings were read, from where on, and as what."""
    what = _chosen(extra.get("filter"))
    after = f" after entry {extra['after_seq']}" if "after_seq" in extra else ""
    form = f" as {extra['format']}" if "format" in extra else ""
    return f"{what}{after}{form}".strip()


def _chosen(filter: object) -> str:
    match filter:
        case {"query": query, **rest}:
            how = "followed live: " if rest.get("tail") else ""
            how = "counted: " if rest.get("counted") else how
            return how + (str(query) or "every entry")
        case {"findings": dict(chosen)}:
            return " ".join(["findings", *(f"{name}:{value}" for name, value in chosen.items())])
        case {"feed": _}:
            return "feed"
        case {"ranges": _}:
            return "numbers of entries"
    return ""
