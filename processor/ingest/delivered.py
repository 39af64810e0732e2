"""How far SIEMs have been told, by organization: what a database that lost commits may not know."""

from collections.abc import Mapping

import orjson

from processor.ingest import group
from processor.settings import Settings

SIEM_TOPICS = "siem."


async def delivered(settings: Settings) -> dict[str, int]:
    """Return the highest number of each organization that the places of its subscriptions name.

    By topics, not by rows: those may be lost as well.
    """
    beginning = settings.topic(SIEM_TOPICS)
    topics = await group.topics_named(settings, beginning)
    if not topics:
        return {}
    places = [(topic, 0) for topic in topics]
    texts = await group.metadata(settings, f"{settings.group}.forward", places)
    found: dict[str, int] = {}
    for (topic, _), text in texts.items():
        org_id = topic.removeprefix(beginning).partition(".")[0]
        found[org_id] = max(_through(text), found.get(org_id, 0))
    return found


def ahead(told: Mapping[str, int], heads: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the organizations that were told numbers which the store never gave, with both."""
    return {
        org_id: (through, heads.get(org_id, 0))
        for org_id, through in sorted(told.items())
        if through > heads.get(org_id, 0)
    }


def _through(text: str) -> int:
    """Return the number in a place's text; 0 where an operator's tool has written another."""
    try:
        return int(orjson.loads(text)["live"][0])
    except (ValueError, TypeError, LookupError):
        return 0
