"""Debian's rsyslog, with the configuration that ships, reads a real subscription with imkafka."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of
from tests.integration.siem import HOSTILE, SIEM, Siem, forwarding, happen, subscribe

pytestmark = pytest.mark.timeout(120)

RSYSLOG = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""
RUN = (RSYSLOG, "-n", "-iNONE", "-f")
ARGUMENTS = (*RUN, str(SIEM / "rsyslog" / "hub-audit.conf"))
PARSES = (*RUN, str(Path(__file__).with_name("rsyslog-parses.conf")))

# Of control characters CEF keeps the ends of lines.
SPACES = str.maketrans("\x7f\u2028\t", "   ")


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with the topic that orders are told on."""
    own = settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))
    with cleaned(own):
        bus.create(kafka, [own.topic("raw.audit")], own.lanes)
        yield own


async def test_no_line_is_lost_over_a_stop(settings: Settings, tmp_path: Path) -> None:
    """CEF as it was sent, in the order of seq without a hole; what comes again has the same id."""
    subscribe(settings, "cef")
    siem = Siem(settings, "cef", tmp_path, ARGUMENTS)
    with forwarding(settings):
        await happen(settings, 0, 40, user_agent=HOSTILE)
        with siem.running():
            siem.await_lines(40)
        assert siem.lines() == siem.sent()
        siem.take_back()
        await happen(settings, 40, 20, outcome_reason=HOSTILE)
        with siem.running():
            siem.await_lines(60)
    lines = list(dict.fromkeys(siem.lines()))
    assert lines == siem.sent()
    assert [int(re.findall(r" cn1=(\d+) ", line)[0]) for line in lines] == list(range(1, 61))
    assert len({re.findall(r" externalId=(\S+) ", line)[0] for line in lines}) == 60
    assert all(line.startswith("<110>1 20") and " CEF:0|Hub|" in line for line in lines)


async def test_large_documents_stay_whole(settings: Settings, tmp_path: Path) -> None:
    """OCSF with an entry of 100 kB, where rsyslog's own default ends at 8: still the same JSON."""
    subscribe(settings, "ocsf")
    siem = Siem(settings, "ocsf", tmp_path, ARGUMENTS)
    with forwarding(settings):
        await happen(settings, 0, 5, user_agent=HOSTILE)
        await happen(settings, 5, 1, details={"new": {"note": "é" * 50_000}})
        with siem.running():
            siem.await_lines(6)
    assert siem.lines() == siem.sent()
    events = [orjson.loads(line) for line in siem.lines()]
    assert [event["metadata"]["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[0]["http_request"]["user_agent"] == HOSTILE
    assert len(events[5]["unmapped"]["details"]["new"]["note"]) == 50_000


async def test_parsers_of_others_read_it(settings: Settings, tmp_path: Path) -> None:
    """Those of rsyslog for RFC 5424 and CEF find what is in the entries, whatever that is."""
    subscribe(settings, "cef")
    siem = Siem(settings, "cef", tmp_path, PARSES)
    actor = {"type": "user", "id": "\\", "email": "a=b"}
    with forwarding(settings):
        await happen(settings, 0, 3)
        await happen(settings, 3, 3, user_agent=HOSTILE, actor=actor, session_id="k=v  x y")
        with siem.running():
            siem.await_lines(6)
    read = [orjson.loads(line) for line in siem.lines()]
    for seq, each in enumerate(read, 1):
        header = {key: each[key] for key in ("msgid", "host", "app", "priority")}
        assert header == {
            "msgid": "auth.login_success",
            "host": "hub",
            "app": "hub-audit",
            "priority": "110",
        }
        assert f'[hub@32473 org="acme" seq="{seq}" id="' in each["data"]
        assert (each["cef"]["SignatureID"], each["cef"]["Severity"]) == ("auth.login_success", "1")
        assert each["cef"]["Extensions"]["cn1"] == str(seq)
    hostile = read[5]["cef"]["Extensions"]
    assert hostile["requestClientApplication"] == HOSTILE.translate(SPACES)
    assert (hostile["suid"], hostile["suser"]) == ("\\", "a=b")
    assert hostile["flexString1"] == "k=v  x y"
