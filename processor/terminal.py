"""What others wrote, as a terminal may show it."""

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Letters of Persian and Hindi names; they shape the letter before and steer nothing."""


def visible(text: str) -> str:
    """Return the text with everything that could move a terminal's cursor or turn it escaped."""
    return "".join(
        sign if sign.isprintable() or sign in JOINERS else _escaped(sign) for sign in text
    )


def _escaped(sign: str) -> str:
    code = ord(sign)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits
