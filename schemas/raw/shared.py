"""What every raw event's ``data`` may carry, whatever its type."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic reads this one on Python 3.11

CONTRACT = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)
"""Values are never coerced; a field that is not known yet is kept, not refused."""

Text: TypeAlias = str | None
"""An optional text: null and absent are the same."""

JsonObject: TypeAlias = dict[str, Any]

Texts: TypeAlias = Annotated[list[str], Field(fail_fast=True)]
"""A list of texts; one that is none is enough to reject it."""

Contracts: TypeAlias = dict[str, TypeAdapter[Any]]
"""By type name without its version suffix: what checks the type's ``data``."""


@with_config(CONTRACT)
class OnBehalfOf(TypedDict, total=False):
    """For whom a support agent or a service acted."""

    id: Text
    email: Text


@with_config(CONTRACT)
class Actor(TypedDict):
    """Who did it; a user, service or support agent has an id or an email."""

    type: Literal["user", "service", "system", "anonymous", "support"]
    id: NotRequired[Text]
    email: NotRequired[Text]
    name: NotRequired[Text]
    on_behalf_of: NotRequired[OnBehalfOf | None]


@with_config(CONTRACT)
class Client(TypedDict, total=False):
    """Where it came from."""

    ip: Text
    user_agent: Text
    session_id: Text
    request_id: Text


@with_config(CONTRACT)
class Organization(TypedDict, total=False):
    """The organization's name, for those who read."""

    name: Text


@with_config(CONTRACT)
class Common(TypedDict):
    """The part of ``data`` that all types share."""

    actor: Actor
    client: NotRequired[Client | None]
    organization: NotRequired[Organization | None]
    correlation_id: NotRequired[Text]
    outcome: NotRequired[Literal["success", "failure"] | None]
    reason: NotRequired[Text]


@with_config(CONTRACT)
class Reference(TypedDict):
    """A user by id, and perhaps the e-mail address."""

    id: str
    email: NotRequired[Text]


@with_config(CONTRACT)
class Named(TypedDict):
    """A thing by its id and name."""

    id: str
    name: str


@with_config(CONTRACT)
class Principal(TypedDict):
    """A user or a role."""

    type: Literal["user", "role"]
    id: str
    email: NotRequired[Text]
    name: NotRequired[Text]
