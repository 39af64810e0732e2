"""Topic ``raw.billing``: plans, payment methods, invoices."""

from typing import Annotated, Any, NotRequired, TypeAlias

from pydantic import GetPydanticSchema, TypeAdapter, with_config
from pydantic_core import core_schema
from typing_extensions import TypedDict

from schemas.raw.shared import CONTRACT, Common, Contracts, Text


def _integer_or_string(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    """Say once what is wrong; a plain union does so for each of its types, in a path of its own."""
    return core_schema.union_schema(
        [core_schema.int_schema(), core_schema.str_schema()],
        custom_error_type="integer_or_string",
        custom_error_message="Input should be a valid integer or string",
    )


Number: TypeAlias = Annotated[int | str, GetPydanticSchema(_integer_or_string)] | None
"""An optional number, which some write as text."""


@with_config(CONTRACT)
class Identified(TypedDict):
    """A thing of which only the id matters."""

    id: str


@with_config(CONTRACT)
class Plan(TypedDict):
    """What is subscribed to."""

    id: str
    name: NotRequired[Text]


@with_config(CONTRACT)
class SubscriptionState(TypedDict, total=False):
    """A subscription before or after; only these three make a plan change."""

    plan: Plan | None
    seats: int | None
    interval: Text


@with_config(CONTRACT)
class SubscriptionUpdated(Common):
    """A subscription was changed in some way."""

    subscription: Identified
    previous: SubscriptionState
    current: SubscriptionState


@with_config(CONTRACT)
class PaymentMethod(TypedDict):
    """A way to pay; nothing else of it is ever kept."""

    id: str
    brand: NotRequired[Text]
    last4: NotRequired[Text]
    exp_month: NotRequired[Number]
    exp_year: NotRequired[Number]


@with_config(CONTRACT)
class PreviousPaymentMethod(TypedDict, total=False):
    """A way to pay as it was."""

    brand: Text
    last4: Text
    exp_month: Number
    exp_year: Number


@with_config(CONTRACT)
class PaymentMethodUpdated(Common):
    """A payment method was changed."""

    payment_method: PaymentMethod
    previous: NotRequired[PreviousPaymentMethod | None]


@with_config(CONTRACT)
class Invoice(TypedDict):
    """A finalized invoice; the amount is in the currency's smallest unit."""

    id: str
    number: str
    amount_minor: int
    currency: str
    period_start: str
    period_end: str


@with_config(CONTRACT)
class InvoiceFinalized(Common):
    """An invoice was finalized."""

    invoice: Invoice


CONTRACTS: Contracts = {
    "billing.subscription.updated": TypeAdapter(SubscriptionUpdated),
    "billing.payment_method.updated": TypeAdapter(PaymentMethodUpdated),
    "billing.invoice.finalized": TypeAdapter(InvoiceFinalized),
}

NOT_AUDITED = frozenset({"billing.invoice.created", "billing.usage.reported"})
"""Types that are no audit events: a draft would count every invoice twice."""
