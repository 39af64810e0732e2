"""Secrets: known by the names of their keys and by the shapes of their values."""

from typing import Any

import pytest

from processor.normalize.redact import Kind, kind_of, redact_text
from tests.unit.normalized import details, entry

LOGIN = "identity.login.succeeded"
GONE = "[redacted]"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n+/=\n-----END RSA PRIVATE KEY-----"
CARD = "4242424242424242"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "Password", "PASSWORD", "user_password", "user-password", "user.password"),
        *("user password", "userPassword", "oldPassword2fa.password", "passwd", "passphrase"),
        *("clientSecret", "secret", "token", "accessToken", "token_id", "tokenId", "TOKEN_TTL"),
        *("apikey", "api_key", "apiKey", "APIKey", "X-API-Key", "api key", "stripeApiKeyId"),
        *("authorization", "Authorization", "set-cookie", "cookie", "PAN", "cardPAN", "pan"),
        *("cvc", "CVV", "otp", "OTPCode", "totp", "pin", "pinCode", "user.PIN"),
        *("cardNumber", "card_number", "card number", "recoveryCode", "recovery_codes"),
        *("privateKey", "private-key-pem", "accessKey", "aws.access.key", "securityCode"),
        *("to\u212aen", "\u00dcberToken", "xToken_"),
    ],
)
def test_a_key_may_say_that_its_value_is_secret(key: str) -> None:
    """By one of its words, or two that stand side by side."""
    assert kind_of(key) is Kind.SECRET
    assert details(LOGIN, {key: "hunter2"})["extra"][key] == GONE


@pytest.mark.parametrize(
    "key",
    [
        *("passwords", "tokens", "secrets", "passWord", "tokenizer", "opinion", "company", "spin"),
        *(
            "shipping",
            "pins",
            "japan",
            "key",
            "code",
            "number",
            "api",
            "card",
            "keyApi",
            "api_x_key",
        ),
        *(
            "card_holder_number",
            "author",
            "authorized",
            "cookies",
            "api\u2011key",
            "",
            "_",
            "accesskey",
        ),
        *("session_id", "request_id", "method", "pin2", "otpauth"),
    ],
)
def test_other_keys_say_nothing(key: str) -> None:
    """A word has to be the whole word."""
    assert kind_of(key) is not Kind.SECRET
    assert details(LOGIN, {key: "hunter2"})["extra"][key] == "hunter2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((True, True), (False, False), ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z")),
        ("9999-12-31T23:59:60.000Z", "9999-12-31T23:59:60.000Z"),
        *(("2026-11-23 10:00:00", "2026-11-23 10:00:00"), ("2026-11-23", GONE)),
        *(("2026-11-23T10:00:00Z!", GONE), (1_795_428_000, GONE), (0, GONE), (1.5, GONE)),
        *(("", GONE), ([], GONE), ({}, GONE), ([True, None], GONE)),
        *(({"a": {"b": "2026-11-23T10:00:00Z"}}, GONE), (["2026-11-23T10:00:00Z"], GONE)),
    ],
)
def test_under_a_secret_key_little_is_shown(value: Any, shown: Any) -> None:
    """Booleans and times give nothing away; objects and lists do, whole."""
    assert details(LOGIN, {"token": value})["extra"]["token"] == shown
    assert "token" not in details(LOGIN, {"token": None})["extra"]


@pytest.mark.parametrize(
    "secret",
    [
        *(CARD, "4242 4242 4242 4242", "4242-4242-4242-4242", "4242-4242 42424242"),
        *("5105105105105100", "378282246310005", "30569309025904", "6011111111111117"),
        *("2223003122003222", "4222222222222", "6304000000000000000", "3530111333300000"),
        *(" ".join(CARD), JWT, JWT.rpartition(".")[0] + ".", PEM, PEM.partition("-----END")[0]),
        *("-----BEGIN CERTIFICATE-----\r\nx\r\n-----END CERTIFICATE-----",),
        *("AKIAIOSFODNN7EXAMPLE", *(f"gh{kind}_" + "a1B2" * 9 for kind in "pousr")),
        *("github_pat_11A_b2", *(f"xox{kind}-1-a" for kind in "abprs")),
        *("sk_live_4eC39Hq", "rk_live_4eC39Hq", "AIza" + "aB3-_" * 7),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "a {} b", "({})", "Bearer={};", '"{}",', "\u00e9{}\u00e9"]
)
def test_a_value_may_have_the_shape_of_a_secret(secret: str, around: str) -> None:
    """It is replaced inside its text, and nothing around it."""
    text = around.format(secret)
    shown = redact_text(text)
    open_ended = secret.startswith("-----") and "END" not in secret
    assert shown == (text.partition("-----")[0] + GONE if open_ended else around.format(GONE))
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("4242424242424241", "1242424242424241", "424242424242", "7992739871300005", "9" * 16),
        *("4242  4242  4242  4242", "4242.4242.4242.4242", "4242_4242_4242_4242", "0" * 16),
        *("2026-11-23 10:00:00", "+49 30 1234567", "eyJ", "eyJhbGci.x", "eyJhbGci...", "a.b.c"),
        *(
            "AKIA123",
            "ghp_short",
            "github_pat_",
            "xoxb",
            "xox-1",
            "sk_test_abc",
            "AIzashort",
            "sk_live_",
        ),
        *("-----BEGIN", "----BEGIN X----", "BEGIN PRIVATE KEY", "", "x" * 5_000),
        "1" + CARD + "00000",
    ],
)
def test_other_values_stay(text: str) -> None:
    """What only resembles a secret is evidence."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{CARD} 12/27", f"{GONE} 12/27"),
        (f"{CARD} 123", f"{GONE} 123"),
        (f"17 {CARD}", f"17 {GONE}"),
        (f"{CARD} 5105105105105100", f"{GONE} {GONE}"),
        (f"{CARD}-{JWT}", f"{GONE}-{GONE}"),
        (f"a.{JWT}.b", f"a.{GONE}.b"),
        (f"x-{JWT}", f"x-{GONE}"),
        (f"{JWT} {JWT}", f"{GONE} {GONE}"),
        (f"{PEM}{PEM}", GONE * 2),
    ],
)
def test_every_secret_of_a_text_is_found(text: str, shown: str) -> None:
    """Beside other digits, glued to other words, and more than one of them."""
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


def test_shapes_are_looked_for_everywhere_in_details() -> None:
    """In reasons, in lists, in nested objects, in numbers turned to text, on both sides."""
    data = {
        "reason": f"because of {CARD}",
        "before": {"note": "x", "deep": {"list": [{"n": JWT}, JWT, [CARD]]}},
        "after": {"note": CARD, "password": "a"},
        "wide": [int(CARD + "00" + "0"), 12],
    }
    made = entry("identity.user.updated", data, subject=CARD, hubx=f"to {JWT}")
    assert made["details"] == {
        "old": {"note": "x", "deep": {"list": [{"n": GONE}, GONE, [GONE]]}},
        "new": {"note": GONE, "password": GONE},
        "reason": f"because of {GONE}",
        "extra": {"wide": ["4242424242424242000", 12]},
        "attributes": {"subject": GONE, "hubx": f"to {GONE}"},
    }
    failed = entry("identity.login.failed", {"reason": f"not {JWT}"})
    assert failed["outcome_reason"] == f"not {GONE}"


@pytest.mark.parametrize("room", [0, 1, 100, 1_500])
def test_shapes_are_looked_for_in_texts_of_any_length(room: int) -> None:
    """Also in those that are too long to be kept in a cache, and in long ones of a list."""
    text, shown = (f"{'- ' * room}{secret}" for secret in (JWT, GONE))
    told = details(LOGIN, {"note": text, "list": [text], "email": text, "note_id": text})["extra"]
    assert told == {
        "method": "sso",
        "note": shown,
        "list": [shown],
        "email": shown.strip(),
        "note_id": text,
    }


def test_identifiers_are_references() -> None:
    """The digits of an id may look like a card's; so may those of a list of them."""
    told = {"id": CARD, "order_id": CARD, "orderId": [CARD], "ids": CARD, "orderid": CARD}
    shown = {**told, "ids": GONE, "orderid": GONE}
    assert details(LOGIN, {"thing": told})["extra"]["thing"] == shown
    assert details(LOGIN, {"id": {"note": CARD}})["extra"]["id"] == {"note": GONE}
    number = 4_242_424_242_424_242_006  # a card's as well, and too large to stay a number
    told = details(LOGIN, {"order_id": number, "order": number})["extra"]
    assert (told["order_id"], told["order"]) == (str(number), GONE)


def test_a_changed_password_is_a_change() -> None:
    """Differences are those of what was sent; both sides are redacted."""
    sides = {"before": {"password": "a", "pin": 1}, "after": {"password": "b", "pin": 1}}
    told = details("identity.user.updated", sides)
    assert told == {"old": {"password": GONE}, "new": {"password": GONE}}


def test_what_is_no_detail_is_left_alone() -> None:
    """Ids and names of actor and target, and references, are what they are."""
    actor = {"type": "user", "id": CARD, "name": CARD}
    client = {"session_id": CARD, "user_agent": f"UA {CARD}", "request_id": CARD}
    made = entry(LOGIN, {"actor": actor, "client": client})
    assert (made["actor"], made["target"]) == (actor, actor)
    assert (made["session_id"], made["user_agent"]) == (CARD, f"UA {CARD}")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        *((0, 0), (-7, -7), (2**53 - 1, 2**53 - 1), (-(2**53) + 1, -(2**53) + 1)),
        *((2**53, "9007199254740992"), (-(2**53), "-9007199254740992")),
        *((10**30, "1" + "0" * 30), (1.5, "1.5"), (0.1, "0.1"), (-2.25, "-2.25"), (True, True)),
        *((0.4242424242424242, "0.4242424242424242"), (4242424242424242.0, "[redacted].0")),
        (378282246310005.25, "[redacted].25"),
        (10**4_200, "1" + "0" * 4_095),
    ],
)
def test_numbers_are_exact_or_text(number: Any, shown: Any) -> None:
    """Integers that every reader holds exactly stay; any other number is its shortest text."""
    told = details(LOGIN, {"n": number, "l": [number], "o": {"n": number}})["extra"]
    assert (told["n"], told["l"], told["o"]) == (shown, [shown], {"n": shown})
    assert type(told["n"]) is type(shown)
