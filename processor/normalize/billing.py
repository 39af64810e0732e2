"""``raw.billing``: plans, payment methods and invoices become entries."""

from processor.normalize.details import differences
from processor.normalize.draft import NO_CHANGE, Data, Decision, Draft, Places, present, target_of

CARD_FIELDS = ("brand", "last4", "exp_month", "exp_year")
"""Of a payment method nothing else is ever kept, known or not."""

_SUBSCRIPTION: Places = {
    "$.target": "$.data.current.plan",
    "$.details.old": "$.data.previous",
    "$.details.new": "$.data.current",
}
_PAYMENT_METHOD: Places = {
    "$.target": "$.data.payment_method",
    "$.details.old": "$.data.previous",
    "$.details.new": "$.data.payment_method",
}
_INVOICE: Places = {
    "$.target": "$.data.invoice",
    "$.target.name": "$.data.invoice.number",
    "$.details.new": "$.data.invoice",
}


def subscription_updated(data: Data) -> Decision:
    """Return a change of plan, seats or interval; whatever else changed is no audit event."""
    previous, current = data["previous"], data["current"]
    old, new = differences(_terms(previous), _terms(current))
    was, now = previous.get("plan") or {}, current.get("plan") or {}
    if was.get("id") == now.get("id") and not {"seats", "interval"} & (old.keys() | new.keys()):
        return NO_CHANGE
    target = target_of("plan", present(now, "id", "name"))
    return Draft("billing.plan_changed", target, _SUBSCRIPTION, old, new)


def _terms(state: Data) -> Data:
    """Return of a subscription what makes up its plan."""
    terms = present(state, "plan", "seats", "interval")
    if "plan" in terms:
        terms["plan"] = present(terms["plan"], "id", "name")
    return terms


def payment_method_updated(data: Data) -> Decision:
    """Return a payment method by what may be told of it."""
    method, previous = data["payment_method"], data.get("previous")
    target = target_of("payment_method", present(method, "id"))
    new = present(method, *CARD_FIELDS)
    if previous is None:
        return Draft("billing.payment_method_updated", target, _PAYMENT_METHOD, new=new)
    old, new = differences(present(previous, *CARD_FIELDS), new)
    if not old and not new:
        return NO_CHANGE
    return Draft("billing.payment_method_updated", target, _PAYMENT_METHOD, old, new)


def invoice_finalized(data: Data) -> Decision:
    """Return an invoice, whole; its number is its name."""
    invoice = data["invoice"]
    target = target_of("invoice", {"id": invoice["id"], "name": invoice["number"]})
    return Draft("billing.invoice_generated", target, _INVOICE, new=invoice)
