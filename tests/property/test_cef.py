"""CEF in RFC 5424: whatever is in an entry, independent parsers read it back."""

import json
import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.forward.messages import sample
from processor.siem.cef import EXTENSION, GAPS_MAX, cut, heartbeat, line
from processor.siem.heartbeat import Gap, Heartbeat
from processor.siem.syslog import message
from processor.store.recovery import LOST_COMMITS
from schemas.catalogue import CATALOGUE
from schemas.entry import Entry
from tests.contract.siem_examples import HEARTBEAT
from tests.contract.siem_examples import entries as examples
from tests.property.siem_entries import WAYS, entries, entry_of, full, texts

# What the CEF dictionary says of the length of each key used, in characters.
LENGTHS = {
    "act": 63,
    "outcome": 63,
    "reason": 1023,
    "cat": 1023,
    "externalId": 40,
    "suser": 1023,
    "suid": 1023,
    "duser": 1023,
    "duid": 1023,
    "spriv": 1023,
    "dpriv": 1023,
    "destinationServiceName": 1023,
    "fname": 1023,
    "shost": 1023,
    "sourceServiceName": 1023,
    "requestClientApplication": 1023,
    "cs1": 4000,
    "cs2": 4000,
    "cs3": 4000,
    "cs4": 4000,
    "cs5": 4000,
    "cs6": 4000,
    "flexString1": 1023,
    "flexString2": 1023,
}
NUMBERS = {"rt", "cn1", "cn2", "spt"}


class Syslog(NamedTuple):
    """A message of RFC 5424 in its parts."""

    priority: int
    timestamp: str
    host: str
    app: str
    procid: str
    msgid: str
    data: dict[str, dict[str, str]]
    text: str


def parse_syslog(raw: str) -> Syslog:
    """Read a message character by character, as the grammar of RFC 5424 goes."""
    head, rest = raw[1:].split(">", 1)
    assert raw[0] == "<"
    assert re.fullmatch(r"0|[1-9]\d{0,2}", head)
    version, timestamp, host, app, procid, msgid, rest = rest.split(" ", 6)
    assert version == "1"
    data: dict[str, dict[str, str]] = {}
    at = 0
    while rest[at] == "[":
        end = min(n for n in (rest.find(" ", at), rest.find("]", at)) if n > 0)
        name, at = rest[at + 1 : end], end
        parameters = data.setdefault(name, {})
        while rest[at] == " ":
            key, at = rest[at + 1 : rest.index("=", at)], rest.index("=", at) + 1
            assert rest[at] == '"'
            value, at = "", at + 1
            while rest[at] != '"':
                assert rest[at] != "]", "not escaped"
                if rest[at] == "\\":
                    at += 1
                    assert rest[at] in '"\\]'
                value, at = value + rest[at], at + 1
            parameters[key], at = value, at + 1
        assert rest[at] == "]"
        at += 1
    assert rest[at] == " "
    return Syslog(int(head), timestamp, host, app, procid, msgid, data, rest[at + 1 :])


def parse_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Read a CEF line: seven fields, then keys and values, undoing what each of them escapes."""
    assert text.startswith("CEF:0|")
    fields: list[str] = []
    field, at = "", len("CEF:0|")
    while len(fields) < 6:
        if text[at] == "\\":
            assert text[at + 1] in "\\|"
            field, at = field + text[at + 1], at + 2
        elif text[at] == "|":
            fields, field, at = [*fields, field], "", at + 1
        else:
            field, at = field + text[at], at + 1
    # A key follows a space (or the header) and ends at an equals sign that nothing escapes.
    starts = [(m.start(1), m.group(1)) for m in re.finditer(r"(?:^| )(\w+)=", text[at:])]
    extension: dict[str, str] = {}
    body = text[at:]
    for (begin, key), following in zip(starts, [*starts[1:], (len(body) + 1, "")], strict=True):
        assert key not in extension
        extension[key] = unescape(body[begin + len(key) + 1 : following[0] - 1])
    return fields, extension


def unescape(value: str) -> str:
    """Undo the escapes of a value; any other use of the backslash or equals sign is wrong."""
    parts = re.split(r"\\(.)", value)
    assert not any(set("\\=\r\n") & set(plain) for plain in parts[::2])
    meanings = {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}
    return "".join(meanings[p] if n % 2 else p for n, p in enumerate(parts))


def one_line(value: str, *, ends: bool) -> str:
    """Return a text as it arrives: control characters are spaces, of CEF line ends are kept."""
    kept = "\r\n" if ends else ""
    gone = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"} - set(kept)
    return "".join(" " if each in gone else each for each in value)


def expected(value: str, limit: int) -> str:
    """Return what of a value a reader is to get: its longest beginning that fits, counted anew."""
    size = 0
    for n, character in enumerate(value):
        size += len(character.encode())
        if size > limit:
            return one_line(value[:n], ends=True)
    return one_line(value, ends=True)


@settings(max_examples=300, deadline=None)
@given(entries())
def test_any_entry_is_read_back(entry: Entry) -> None:
    """Parsers that know the grammars alone find every field, whatever stands in it."""
    raw = line(entry)
    text = raw.decode()
    assert len(text.splitlines()) == 1
    syslog = parse_syslog(text)
    assert syslog.msgid == entry["action"]
    assert syslog.data["hub@32473"]["org"] == entry["org_id"]
    assert syslog.data["hub@32473"]["seq"] == str(entry["seq"])
    header, extension = parse_cef(syslog.text)
    row = CATALOGUE[entry["action"]]
    severity = str(entry["severity"])
    assert header == ["Hub", "Hub Audit", "1", row.name, row.label, severity]
    assert extension["externalId"] == entry["entry_id"]
    actor = entry["actor"]
    for key, value, limit in (
        ("suid", actor.get("id"), 1023),
        ("suser", actor.get("email") or actor.get("name"), 1023),
        ("cs3", entry["target"].get("id"), 4000),
        ("requestClientApplication", entry.get("user_agent"), 1023),
        ("flexString1", entry.get("session_id"), 1023),
        ("shost", entry.get("ip_raw"), 1023),
    ):
        assert extension.get(key) == (expected(value, limit) if value else None)


@settings(max_examples=150, deadline=None)
@given(entries())
def test_any_entry_keeps_the_limits(entry: Entry) -> None:
    """Of CEF's dictionary, and those of RFC 5424's header."""
    syslog = parse_syslog(line(entry).decode())
    _, extension = parse_cef(syslog.text)
    for key, value in extension.items():
        if key in NUMBERS:
            assert re.fullmatch(r"-?\d{1,19}", value)
        elif key in LENGTHS:
            assert len(value) <= LENGTHS[key]
        elif not key.endswith("Label"):
            assert key in {"src", "c6a2"}
    assert len(syslog.host) <= 255
    assert len(syslog.app) <= 48
    assert len(syslog.procid) <= 128
    assert len(syslog.msgid) <= 32
    assert all(re.fullmatch(r"[!#-<>-\\^-~]{1,32}", name) for name in syslog.data)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", syslog.timestamp)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), texts), texts)
def test_structured_data_is_read_back(data: dict[str, str], text: str) -> None:
    """A value of structured data may hold what would end it."""
    moment = "2026-11-23T10:00:00.123Z"
    raw = message(moment, "info", "x" * 40, data, "CEF:0")
    syslog = parse_syslog(raw.decode())
    told = {name: one_line(value, ends=False) for name, value in data.items()}
    assert syslog.data == {"hub@32473": told}
    assert (syslog.msgid, syslog.text, syslog.priority) == ("x" * 32, "CEF:0", 110)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 30))
def test_cut_ends_between_characters(value: str, limit: int) -> None:
    """Never more bytes than allowed, never half a character, never less than fits."""
    made = cut(value, limit)
    assert len(made.encode()) <= limit
    assert value.startswith(made)
    rest = value[len(made) :]
    assert not rest or len((made + rest[0]).encode()) > limit


@pytest.mark.parametrize("outcome", ["success", "failure"])
@pytest.mark.parametrize(("action", "target"), WAYS)
def test_barest_and_fullest_are_read_back(action: str, target: str, outcome: str) -> None:
    """With everything missing, and with everything there."""
    bare = parse_syslog(line(entry_of(action, target, outcome=outcome)).decode())
    _, extension = parse_cef(bare.text)
    assert set(extension) == {
        "rt", "externalId", "cn1", "cn1Label", "act", "outcome", "cat", "sourceServiceName",
        "cs1", "cs1Label", "cs2", "cs2Label", "spriv",
    }  # fmt: skip
    syslog = parse_syslog(line(full(action, target, outcome)).decode())
    _, extension = parse_cef(syslog.text)
    labels = {f"{each.key}Label" for each in EXTENSION if each.label}
    keys = {each.key for each in EXTENSION} | labels
    absent = {"c6a2", "c6a2Label"}
    if not {"duser", "duid"} & extension.keys():
        absent |= {"duser", "duid"}
    if target in {"user", "role", "product"}:
        absent.add("fname")
    if target != "product":
        absent.add("destinationServiceName")
    assert set(extension) == keys - absent


@pytest.mark.parametrize("action", ["product_access.granted", "product_access.revoked"])
@pytest.mark.parametrize(
    ("grantee", "told"),
    [
        ({"type": "role", "id": "r-12", "name": "Billing Admin"}, {"dpriv": "Billing Admin"}),
        ({"type": "role", "id": "r-12"}, {"dpriv": "r-12"}),
        ({"type": "user", "id": "u-1", "name": "Max"}, {"duser": "Max", "duid": "u-1"}),
    ],
)
def test_access_says_whose(action: str, grantee: dict[str, str], told: dict[str, str]) -> None:
    """A user, or a role: the privilege of its members."""
    syslog = parse_syslog(line(entry_of(action, "product", details={"grantee": grantee})).decode())
    _, extension = parse_cef(syslog.text)
    keys = {"dpriv", "duser", "duid"} & extension.keys()
    assert {key: extension[key] for key in keys} == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("role.assigned", {"dpriv": "Billing Admin"}),
        ("role.created", {"dpriv": "Billing Admin"}),
        ("user.created", {"dpriv": "member"}),
        ("user.updated", {}),
        ("permission.granted", {"dpriv": "Billing Admin"}),
        ("permission.granted.user", {}),
        ("product_access.granted", {"destinationServiceName": "Hub Vault"}),
        (
            "product_access.granted.role",
            {"dpriv": "Billing Admin", "destinationServiceName": "Hub Vault"},
        ),
        ("billing.plan_changed", {"fname": "Business"}),
        ("auth.login_failed", {"spriv": "anonymous"}),
    ],
)
def test_what_rules_ask_for_has_a_key(name: str, told: dict[str, str]) -> None:
    """Which kind of actor it was, which role, which product, which other thing."""
    _, extension = parse_cef(parse_syslog(line(examples()[name]).decode()).text)
    keys = {"spriv", "dpriv", "destinationServiceName", "fname"} & extension.keys()
    assert {key: extension[key] for key in keys} == {"spriv": "user"} | told


@pytest.mark.parametrize(
    ("ip", "key"), [("203.0.113.9", "src"), ("2001:db8::7", "c6a2"), ("::1", "c6a2")]
)
def test_address_stands_in_the_key_of_its_kind(ip: str, key: str) -> None:
    """``src`` of CEF:0 is an IPv4 address; an IPv6 one has a key of its own."""
    syslog = parse_syslog(line(entry_of("auth.logout", "session", ip=ip)).decode())
    _, extension = parse_cef(syslog.text)
    assert {"src", "c6a2"} & extension.keys() == {key}
    assert extension[key] == ip


@pytest.mark.parametrize(
    ("action", "priority"),
    [("auth.logout", 110), ("user.created", 109), ("auth.login_failed", 108)],
)
def test_priority_is_of_log_audit(action: str, priority: int) -> None:
    """Facility 13, with the severity of the catalogue."""
    target = CATALOGUE[action].targets[0]
    assert parse_syslog(line(entry_of(action, target)).decode()).priority == priority


def test_test_event_is_a_line_like_others() -> None:
    """What a subscriber tries the subscription with is read as an entry is."""
    syslog = parse_syslog(line(sample("acme", "2026-11-23T10:00:00.000Z")).decode())
    _, extension = parse_cef(syslog.text)
    assert (extension["cn1"], extension["suser"]) == ("0", "Hub Audit test event")


def line_of(beat: Heartbeat) -> dict[str, str]:
    """Return the extension of a heartbeat."""
    return parse_cef(parse_syslog(heartbeat(beat).decode()).text)[1]


def test_heartbeat_is_a_line_like_others() -> None:
    """A parser of CEF reads it, and a rule on an action never meets it."""
    syslog = parse_syslog(heartbeat(HEARTBEAT).decode())
    header, extension = parse_cef(syslog.text)
    assert header == ["Hub", "Hub Audit", "1", "hub.heartbeat", "Heartbeat", "0"]
    assert (syslog.msgid, extension["act"]) == ("hub.heartbeat", "hub.heartbeat")
    assert (extension["cn1"], extension["cn2"]) == ("31", "28")
    assert (extension["externalId"], extension["cs1"]) == ("heartbeat-31-30", "acme")
    longest = line_of(HEARTBEAT._replace(org_id="o" * 128, through_seq=2**63 - 1))
    assert len(longest["externalId"]) <= 40
    assert extension["cs4"] == '[{"first_seq":30,"last_seq":30,"reason":"retention"}]'
    assert "hub.heartbeat" not in CATALOGUE


def test_gaps_of_a_heartbeat_are_whole() -> None:
    """As many as one may have fit into what CEF lets a custom string hold."""
    gaps = [Gap(2**63 - 1, 2**63 - 1, LOST_COMMITS)] * GAPS_MAX
    text = line_of(HEARTBEAT._replace(gaps=gaps))["cs4"]
    assert len(text.encode()) <= 4000
    assert json.loads(text) == [gap._asdict() for gap in gaps]


def test_forced_logout_is_not_the_administrators() -> None:
    """The administrator is who did it; whom it concerns nobody tells."""
    made = {
        name: parse_cef(parse_syslog(line(examples()[name]).decode()).text)[1]
        for name in ("auth.logout", "auth.logout.forced")
    }
    forced = made["auth.logout.forced"]
    assert not {"duser", "duid"} & forced.keys()
    assert (forced["suid"], forced["cs3"], forced["reason"]) == ("u-1001", "s-9b1c", "admin_logout")
    assert made["auth.logout"]["duid"] == "u-1002"
