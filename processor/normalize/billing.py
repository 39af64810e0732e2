"""``raw.billing``: plans, payment methods and invoices become entries."""

from processor.normalize.details import differences
from processor.normalize.draft import NO_CHANGE, Data, Decision, Draft, present, target_of
from schemas.rejection import Reason, Rejection, Stage

PLAN_FIELDS = ("seats", "interval")
CARD_FIELDS = ("brand", "last4", "exp_month", "exp_year")
"""Of a payment method nothing else is ever kept, known or not."""


def subscription_updated(data: Data) -> Decision:
    """Return a change of plan, seats or interval; whatever else changed is no audit event."""
    previous, current = data["previous"], data["current"]
    was, now = previous.get("plan") or {}, current.get("plan") or {}
    old, new = differences(present(previous, *PLAN_FIELDS), present(current, *PLAN_FIELDS))
    if was.get("id") != now.get("id"):
        old, new = _with_plan(was, old), _with_plan(now, new)
    if not old and not new:
        return NO_CHANGE
    return Draft(
        "billing.plan_changed",
        target_of("plan", present(now, "id", "name")),
        old=old,
        new=new,
        extra={"subscription": data["subscription"]},
    )


def payment_method_updated(data: Data) -> Decision:
    """Return a payment method by what may be told of it."""
    method, previous = data["payment_method"], data.get("previous")
    target = target_of("payment_method", present(method, "id"))
    new = present(method, *CARD_FIELDS)
    if previous is None:
        return Draft("billing.payment_method_updated", target, new=new)
    before = present(previous, *CARD_FIELDS)
    wrong = next((name for name, value in before.items() if not _is_plain(value)), None)
    if wrong:
        detail = f"$.data.previous.{wrong}: text or integer expected"
        return Rejection(Stage.NORMALIZE, Reason.INVALID_DATA, detail)
    old, new = differences(before, new)
    if not old and not new:
        return NO_CHANGE
    return Draft("billing.payment_method_updated", target, old=old, new=new)


def invoice_finalized(data: Data) -> Decision:
    """Return an invoice, whole; its number is its name."""
    invoice = data["invoice"]
    target = target_of("invoice", {"id": invoice["id"], "name": invoice["number"]})
    return Draft("billing.invoice_generated", target, new=invoice)


def _with_plan(plan: Data, rest: Data) -> Data:
    """Put the plan, if there is one, before what else differs."""
    return {"plan": present(plan, "id", "name"), **rest} if plan else rest


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
