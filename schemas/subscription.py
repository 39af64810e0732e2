"""A SIEM subscription: which entries of an organization go out, in which format, on which topic.

There is at most one subscription of a format per organization, and its topic is named after both.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.catalogue import CATALOGUE, Category, FormatName, Outcome
from schemas.entry import Entry

CHOICES_MAX = 100
Name = Annotated[str, Field(max_length=100)]


class Filter(BaseModel):
    """Which entries are wanted: those that pass every condition; an empty one lets all pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actions: Annotated[tuple[Name, ...], Field(max_length=CHOICES_MAX)] = ()
    categories: Annotated[tuple[Category, ...], Field(max_length=CHOICES_MAX)] = ()
    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=CHOICES_MAX)] = ()
    severity_min: Annotated[int, Field(ge=0, le=10)] = 0

    @model_validator(mode="after")
    def _lets_something_pass(self) -> Self:
        unknown = sorted(set(self.actions) - CATALOGUE.keys())
        if unknown:
            raise ValueError(f"no such action: {', '.join(unknown)}")
        outcomes: tuple[Outcome, ...] = self.outcomes or ("success", "failure")
        if not any(
            action.severity_of(outcome) >= self.severity_min
            for action in CATALOGUE.values()
            for outcome in outcomes
            if (not self.actions or action.name in self.actions)
            and (not self.categories or action.category in self.categories)
        ):
            raise ValueError("no entry can pass this filter")
        return self

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry is wanted."""
        return (
            entry["severity"] >= self.severity_min
            and (not self.actions or entry["action"] in self.actions)
            and (not self.categories or entry["category"] in self.categories)
            and (not self.outcomes or entry["outcome"] in self.outcomes)
        )


def topic_of(org_id: str, name: FormatName) -> str:
    """Return the topic of a subscription, without prefix; an organization's id has no dot."""
    return f"siem.{org_id}.{name}"
